"""The natural language of a text, guessed from its script and, for Latin letters, from its commonest words. Pure.

It serves the sentences that the system adds to a text, so that a wrong guess costs one sentence in the wrong language.
A model that is asked for the language would cost tokens for each task, and would have to be believed.
"""

from __future__ import annotations

import re
from collections import Counter

READ_CHARACTERS = 4_000
FEWEST_WORDS = 2  # one common word may be a name or a quotation

_LATIN = "latin"
_SCRIPTS = {
    _LATIN: re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "he": re.compile("[\u05d0-\u05ea]"),
    "ar": re.compile("[\u0620-\u06d3]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
}
# Letters that tell a language from others of its script; the first that occurs decides.
_LETTERS = {
    "ru": (("be", "ў"), ("sr", "ђћљњџј"), ("uk", "іїєґ")),
    "ar": (("ur", "ٹڈڑےں"), ("fa", "پچژگ")),
}
# The commonest words, and those with which questions and requests begin.
_COMMON_WORDS = {
    "cs": "a je se na že v jsou který které pro jako ale nebo také byl podle jsem není co jak kdo kde proč mi s od",
    "da": "og er det af på som til den ikke med har også kan bliver eller jeg hvad hvordan efter uden nogen der mig",
    "de": "und der die das ist nicht mit ein eine von zu auf für den auch sich wird im dem wie was wer wo warum ich",
    "en": "the and of is to in that it for with as are was on be by this from what how who where why you an a",
    "es": "el la de que y los las en un una por con para es del se como más qué cuál cómo quién dónde me al",
    "fi": "ja on ei että se ovat myös kun mutta joka sekä voi ole tai niin mikä mitä miten kuka missä miksi minulle",
    "fr": "le la les des et est une un du de que dans pour qui sur pas avec plus ce quel quelle comment où à au il en",
    "hu": "a az és hogy nem egy is van ez meg mint csak azt vagy már volt mi mit hogyan ki hol miért nekem",
    "id": "yang dan di dengan untuk ini itu dari adalah pada tidak dalam akan oleh apa bagaimana siapa mana saya",
    "it": "il la di che è e un una per con non sono del della più gli anche qual come chi dove perché mi nel lo in",
    "nl": "de het een en van is dat niet op met voor zijn ook aan door wordt wat hoe wie waar waarom ik me te",
    "no": "og er det av på som til den ikke med har også kan blir eller jeg hva hvordan etter uten noen meg en et",
    "pl": "i w na z się nie jest że do to jak oraz są przez dla ale co kto gdzie dlaczego mi o od był",
    "pt": "o a de que e do da em um uma para com não os é dos mais qual como quem onde me ao no na por se",
    "ro": "și de la în că este un o cu pe nu din care pentru mai sunt ce cum cine unde mi al a se",
    "sv": "och är det att som av på en ett inte med för den har också kan vad hur vem jag mig till",
    "tr": "ve bir bu için ile de da olarak çok daha olan gibi ne her en değil nedir nasıl kim nerede mi bana",  # noqa: RUF001 - letters of the language
    "vi": "và là của có không được các một trong cho với những này người đã gì như thế nào ai đâu tôi",
}
# Letters that hardly any other language of the script has. Each of them counts like a word.
_OWN_LETTERS = {
    "cs": "ěřů",
    "de": "ß",
    "es": "¿¡ñ",
    "fr": "œ",
    "hu": "őű",
    "pl": "ąęłśźż",
    "pt": "ãõ",
    "ro": "ășț",
    "tr": "ğış",
    "vi": "ơưđạảấầậắằặẹẻếềệịọỏốồộớờợụủứừự",
}
_LANGUAGES_OF_WORD: dict[str, list[str]] = {
    word: [language for language, words in _COMMON_WORDS.items() if word in words.split()]
    for all_words in _COMMON_WORDS.values()
    for word in all_words.split()
}
_WORD = re.compile(r"[^\W\d_]+")
_CODE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\1|\Z)|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def guess_language(text: str) -> str | None:
    """Returns the language as its code of ISO 639-1, or None if the text is too short to tell; code does not count."""
    prose = _CODE.sub(" ", text[:READ_CHARACTERS]).lower()
    sizes = {script: len(letters.findall(prose)) for script, letters in _SCRIPTS.items()}
    script = max(sizes, key=sizes.__getitem__)
    if not sizes[script]:
        return None
    if script == _LATIN:
        return _by_words(prose)
    if script == "zh" and sizes["ja"] * 10 > sizes["zh"]:
        return "ja"  # Japanese mixes both
    return next((name for name, letters in _LETTERS.get(script, ()) if set(letters) & set(prose)), script)


def _by_words(prose: str) -> str | None:
    counts = Counter(language for word in _WORD.findall(prose) for language in _LANGUAGES_OF_WORD.get(word, ()))
    for language, letters in _OWN_LETTERS.items():
        counts[language] += sum(prose.count(letter) for letter in letters)
    ranked = counts.most_common(2)
    is_clear = ranked[0][1] >= FEWEST_WORDS and ranked[0][1] > ranked[1][1]
    return ranked[0][0] if is_clear else None
