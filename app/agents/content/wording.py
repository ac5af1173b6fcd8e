"""The words that the check itself adds to a text, in the language of the text. Pure.

The language is guessed from the script, and for Latin letters from the commonest short words. English is used for a
text that is too short to tell, and for languages that are missing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

READ_CHARACTERS = 1_000
FEWEST_WORDS = 2  # different ones: one may be a name or a quotation


@dataclass(frozen=True)
class Wording:
    """The heading of the list of sources, and the words in the place of an address that was removed."""

    sources: str
    removed: str


ENGLISH = Wording("Sources", "(link removed)")
WORDINGS = {
    "ar": Wording("المصادر", "(أُزيل الرابط)"),
    "cs": Wording("Zdroje", "(odkaz odstraněn)"),
    "da": Wording("Kilder", "(link fjernet)"),
    "de": Wording("Quellen", "(Link entfernt)"),
    "el": Wording("Πηγές", "(ο σύνδεσμος αφαιρέθηκε)"),
    "es": Wording("Fuentes", "(enlace eliminado)"),
    "fa": Wording("منابع", "(پیوند حذف شد)"),
    "fi": Wording("Lähteet", "(linkki poistettu)"),
    "fr": Wording("Sources", "(lien supprimé)"),
    "he": Wording("מקורות", "(הקישור הוסר)"),
    "hi": Wording("स्रोत", "(लिंक हटाया गया)"),
    "hu": Wording("Források", "(hivatkozás eltávolítva)"),
    "id": Wording("Sumber", "(tautan dihapus)"),
    "it": Wording("Fonti", "(link rimosso)"),
    "ja": Wording("出典", "(リンクは削除されました)"),
    "ko": Wording("출처", "(링크 삭제됨)"),
    "nl": Wording("Bronnen", "(link verwijderd)"),
    "no": Wording("Kilder", "(lenke fjernet)"),
    "pl": Wording("Źródła", "(link usunięty)"),
    "pt": Wording("Fontes", "(link removido)"),
    "ro": Wording("Surse", "(link eliminat)"),
    "ru": Wording("Источники", "(ссылка удалена)"),
    "sv": Wording("Källor", "(länk borttagen)"),
    "th": Wording("แหล่งที่มา", "(ลบลิงก์แล้ว)"),
    "tr": Wording("Kaynaklar", "(bağlantı kaldırıldı)"),
    "uk": Wording("Джерела", "(посилання вилучено)"),
    "vi": Wording("Nguồn", "(đã xóa liên kết)"),
    "zh": Wording("来源", "(链接已移除)"),
}
_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "th": re.compile(r"[\u0e01-\u0e5b]"),
    "hi": re.compile(r"[\u0904-\u0939]"),
    "he": re.compile(r"[\u05d0-\u05ea]"),
    "ar": re.compile(r"[\u0620-\u06d3]"),
    "el": re.compile(r"[\u0386-\u03ce]"),
    "ru": re.compile(r"[\u0401-\u045f]"),
    "la": re.compile(r"[A-Za-z\u00c0-\u024f\u1ea0-\u1ef9]"),
}
_COMMON_WORDS = {
    "cs": "je se na že jsou který které pro jako ale nebo také byl může podle",
    "da": "og er det af på som til den ikke med har også kan bliver eller",
    "de": "und der die das ist nicht mit ein eine von zu auf für den auch sich wird",
    "en": "the and of is to in that it for with as are was on be by this from",
    "es": "el la de que los las en un una por con para es del se como más",
    "fi": "ja on ei että se ovat myös kun mutta joka sekä voi ole tai niin",
    "fr": "le la les des et est une un du que dans pour qui sur pas avec plus ce",
    "hu": "az és hogy nem egy is van ez meg mint csak azt vagy már",
    "id": "yang dan di dengan untuk ini itu dari adalah pada tidak dalam akan oleh",
    "it": "il la di che un una per con non sono del della più gli anche",
    "nl": "de het een en van is dat niet op met voor zijn ook aan door wordt",
    "no": "og er det av på som til den ikke med har også kan blir eller",
    "pl": "na się nie jest że do to jak oraz są przez dla ale",
    "pt": "de que do da em um uma para com não os as dos mais",
    "ro": "și de la în că este un cu pe nu din care pentru mai sunt",
    "sv": "och är det att som av på en ett inte med för den har kan också",
    "tr": "ve bir bu için ile de da olarak çok daha olan gibi ne her en",
    "vi": "và là của có không được các một trong cho với những này người đã",
}
_WORDS_BY_LANGUAGE = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_ADDRESS = re.compile(r"\S+[./:@]\S+")


def wording_for(text: str) -> Wording:
    """Returns the words in the language of the text."""
    return WORDINGS.get(_language_of(text[:READ_CHARACTERS].lower()), ENGLISH)


def _language_of(text: str) -> str:
    if text.isascii():
        return _language_of_words(text)
    sizes = {script: len(pattern.findall(text)) for script, pattern in _SCRIPTS.items()}
    script = max(sizes, key=lambda script: sizes[script])
    if script == "zh" and sizes["ja"] * 10 > sizes["zh"]:
        return "ja"  # Japanese mixes both
    if script == "ru":
        return "uk" if re.search("[іїєґ]", text) else "ru"
    if script == "ar":
        return "fa" if re.search("[پچژگ]", text) else "ar"
    return _language_of_words(text) if script == "la" or not sizes[script] else script


def _language_of_words(text: str) -> str:
    words = set(_WORD.findall(_ADDRESS.sub(" ", text)))
    counts = {language: len(words & common) for language, common in _WORDS_BY_LANGUAGE.items()}
    language = max(counts, key=lambda language: counts[language])
    return language if counts[language] >= FEWEST_WORDS and counts[language] > counts["en"] else "en"
