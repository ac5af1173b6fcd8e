"""The list of sources that models write under a text although the prompt forbids it. Pure.

The checked list takes its place. The heading may be in another language, bold, underlined or on the line of its list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.agents.content.links import find_addresses


def _titles(text: str) -> frozenset[str]:
    return frozenset(title.strip().casefold() for title in text.split(","))


_TITLES = _titles(
    """
    sources, references, citations, bibliography, works cited, sources cited, sources used, source list,
    reference list, list of sources, list of references, cited sources, cited works, footnotes, endnotes, quellen,
    quellenangaben, quellenverzeichnis, quellennachweise, einzelnachweise, nachweise, referenzen, literatur,
    literaturverzeichnis, literaturangaben, belege, fuentes, referencias, bibliografía, fuentes consultadas,
    referencias bibliográficas, obras citadas, références, bibliographie, références bibliographiques,
    sources citées, notes et références, ouvrages cités, fonti, riferimenti, bibliografia,
    riferimenti bibliografici, fontes, referências, referências bibliográficas, fontes consultadas, bronnen,
    bronvermelding, bronnenlijst, referenties, literatuur, literatuurlijst, källor, källförteckning, referenser,
    litteratur, kilder, kildeliste, referencer, referanser, kildehenvisninger, lähteet, lähdeluettelo, viitteet,
    heimildir, heimildaskrá, źródła, przypisy, zdroje, použité zdroje, literatura, pramene, források,
    irodalomjegyzék, hivatkozások, surse, referințe, bibliografie, bibliografija, izvori, viri, šaltiniai,
    literatūra, avoti, atsauces, allikad, viited, kaynaklar, kaynakça, referanslar, mənbələr, manbalar, sumber,
    daftar pustaka, referensi, rujukan, daftar rujukan, nguồn, nguồn tham khảo, tài liệu tham khảo, mga sanggunian,
    sanggunian, vyanzo, marejeo, iturriak, burimet, источники, список источников, список литературы,
    литература, использованные источники, ссылки, примечания, джерела, список джерел, список літератури,
    література, посилання, примітки, извори, източници, литература и источники, крыніцы, дереккөздер, πηγές,
    αναφορές, βιβλιογραφία, παραπομπές, المصادر, المراجع, مصادر, مراجع, المصادر والمراجع, منابع, مراجع و منابع,
    منابع و مآخذ, ذرائع, حوالہ جات, מקורות, ביבליוגרפיה, הפניות, स्रोत, संदर्भ, सन्दर्भ, তথ্যসূত্র, উৎস, सूत्र,
    ஆதாரங்கள், மூலங்கள், மேற்கோள்கள், แหล่งที่มา, แหล่งอ้างอิง, อ้างอิง, เอกสารอ้างอิง, წყაროები, աղբյուրներ, 来源,
    來源, 资料来源, 資料來源, 参考文献, 參考文獻, 参考资料, 參考資料, 参考来源, 參考來源, 信息来源, 引用, 引用来源,
    引文, 出处, 出處, 文献, 出典, 参考, 参考資料, 情報源, 参照, 引用文献, 参考リンク, 引用元, 脚注, 출처,
    참고 문헌, 참고문헌, 참고 자료, 참고자료, 참조, 인용
    """
)
_AND = re.compile(r"\s(?:and|und|et|y|e|og|och|en|ja|i|и|та|ve|dan|và|og)\s|[&/,]")
_HEADING = re.compile(
    r"^\s{0,3}(?:#{1,6}\s*(?P<marked>.+?)\s*#*|(?P<bold>[*_]{1,3}[^*_]+[*_]{1,3}\s*[:：]?)|(?P<plain>[^\s#*_].{0,50}?)\s*[:：]?)\s*$"
)
_UNDERLINE = re.compile(r"^\s{0,3}(?:-{2,}|={2,})\s*$")
_DECORATION = re.compile(r"^[\W\d_]+|[\W_]+$")
_ENTRY = re.compile(r"^\s*(?:[-*•+–]\s|\(?\d{1,3}[.)、）]|[\[【［\\]|<|https?://|www\.|-{3,}\s*$|\||$)|^\s{2,}\S")
_NUMBERED = re.compile(r"^\s*(?:\(?(?P<number>\d{1,3})[.)、）]|[\[【［]\^?(?P<label>\d{1,3})[\]】］]:?)\s*")
_IN_LINE = re.compile(r"^[\s>*_#-]*(?P<title>[^\W\d_][^:：\n]{1,40}?)[\s*_]*[:：][\s*_]*(?P<rest>\S.*)$")
_ONLY_MARKS = re.compile(r"(?:[\[【［]?\^?\d{1,3}+[\]】］]?[\s,;.和、]*+)++")
_LONGEST_HEADING = 80


@dataclass(frozen=True)
class Split:
    """A text without its list of sources, and the list without its heading. `listed` is empty if there is none."""

    body: str
    listed: str = ""


def without_source_list(text: str) -> str:
    """Returns the text up to a final section called "Sources" or the like that holds nothing but list entries."""
    return split_titled(text).body


def split_titled(text: str) -> Split:
    """Splits off the final section called "Sources" or the like, if it holds nothing but list entries."""
    lines = text.rstrip().split("\n")
    index = len(lines) - 1
    while index >= 0 and _title_at(lines, index) is None and _is_entry(lines[index]):
        index -= 1
    title = _title_at(lines, index) if index >= 0 else None
    if title is None:
        return _split_line(lines)
    return Split(_joined(lines[:title]), "\n".join(lines[index + 1 :]).strip())


def split_links(text: str) -> Split:
    """Splits off a numbered list of links at the end, with the heading or the line with a colon that introduces it."""
    lines = text.rstrip().split("\n")
    index = len(lines)
    while index > 0 and (not lines[index - 1].strip() or _is_numbered_link(lines[index - 1])):
        index -= 1
    listed = "\n".join(lines[index:]).strip()
    if not listed:
        return Split(text)
    before = lines[index - 1].strip() if index else ""
    introduces = before.startswith("#") or before.endswith((":", "：", ":**", "**"))
    if introduces and len(before) <= _LONGEST_HEADING:
        index -= 1
    return Split(_joined(lines[:index]), listed)


def listed_numbers(listed: str) -> list[int]:
    """Returns the numbers of the entries of a numbered list."""
    numbers = (_NUMBERED.match(line) for line in listed.split("\n"))
    return [int(match["number"] or match["label"]) for match in numbers if match]


def _title_at(lines: list[str], index: int) -> int | None:
    """Returns the index of the line with the title if a heading for sources ends at `index`."""
    if len(lines[index]) > _LONGEST_HEADING:
        return None
    if index > 0 and _UNDERLINE.match(lines[index]) and _is_title(lines[index - 1][: _LONGEST_HEADING + 1]):
        return index - 1
    heading = _HEADING.match(lines[index])
    if heading is None or not _is_title(heading["marked"] or heading["bold"] or heading["plain"]):
        return None
    # A plain word is a heading only above a list: an outline may end in the entry "- References".
    is_word = heading["plain"] and (_ENTRY.match(lines[index]) or index == len(lines) - 1)
    return None if is_word else index


def _is_title(text: str) -> bool:
    # Numbers, signs and pictures around the words do not matter: "5. **Sources** 📚".
    words = " ".join(_DECORATION.sub("", text).split()).casefold()
    parts = [part.strip() for part in _AND.split(words)]
    return words in _TITLES or (len(parts) > 1 and all(part in _TITLES for part in parts))


def _is_entry(line: str) -> bool:
    return _ENTRY.match(line) is not None or bool(find_addresses(line))


def _is_numbered_link(line: str) -> bool:
    return _NUMBERED.match(line) is not None and bool(find_addresses(line))


def _split_line(lines: list[str]) -> Split:
    """Splits off a last line such as `Sources: [1], https://…`."""
    match = _IN_LINE.match(lines[-1])
    if match is None or not _is_title(match["title"]):
        return Split("\n".join(lines))
    listed = bool(find_addresses(match["rest"])) or _ONLY_MARKS.fullmatch(match["rest"].strip(" *_.")) is not None
    return Split(_joined(lines[:-1]), match["rest"]) if listed else Split("\n".join(lines))


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).rstrip().removesuffix("---").rstrip()
