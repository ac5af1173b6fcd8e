"""The signs around a number in brackets, which tell a citation from an index, a value or an interval. Pure.

- Right after a letter, a digit or a closing bracket a number is an index (`a[10]`, `f(x)[1]`), except after a word of
  four letters or more that names nothing with an index (`tides[2]`, not `array[2]`), after a longer number (`2030[3]`),
  after a remark in brackets (`(GDP)[1]`), and in a script that program code is not written in.
- Beside a sign of mathematics (`=`, `∈`, `×`, `^` …) it is a value.
- After a word such as "interval", "vector" or "in" a list is one (but not in "as shown in [1, 2]").
"""

from __future__ import annotations

import re

WINDOW = 60  # signs before a bracket that are looked at

_LATIN = 0x250  # the end of the Latin letters


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INDEXED_WORDS = _words(
    """
    args argv array arrays axis buffer byte bytes cell cells char chars children column columns coord coords count
    data dict digits dims elem element elements entries entry field fields files frames grid group groups head heap
    idx index indices input inputs item items keys kids lines list lists matches matrix memo mask names node nodes
    nums numbers output params parent parts pixel pixels point points pool queue rank ranks record records result
    results rows self shape size slots stack state string table tail tensor text token tokens tree tuple tuples
    values value vars vector vectors vertices weights word words
    """
)
_RAISED_UNITS = _words(
    """
    feet foot inch inches yard yards mile miles metre metres meter meters kilometre kilometres kilometer kilometers
    centimetre centimetres centimeter centimeters second seconds metern metros mètres sine cosine
    """
)
_INTERVAL_WORDS = _words(
    """
    interval intervals range ranges domain segment vector vectors array arrays list lists tuple tuples matrix set
    sets sequence point points coordinates coordinate between pair pairs in within values value intervall intervalle
    bereich vektor liste menge im zwischen intervallo intervalo rango vettore vecteur dans entre plage conjunto
    отрезок отрезке интервал интервале множество вектор
    """
)
_SHOWING_WORDS = _words(
    """
    as see shown described reported discussed found noted given explained proposed presented stated cited mentioned
    documented published summarised summarized reviewed studied detailed outlined argued work works
    """
)
_MATHS = frozenset("=≠≈∈∉⊂⊆⊃×·⋅∪∩≤≥+−^{$∝→")
_MATHS_AFTER = frozenset("=≠≈∈∉⊂⊆⊃×⋅∪∩≤≥∝")
_WORD_BEFORE = re.compile(r"([^\W\d_]+)\W{0,3}\Z")
_TWO_WORDS_BEFORE = re.compile(r"([^\W\d_]+)\s+[^\W\d_]+\W{0,3}\Z")
_NUMBER_BEFORE = re.compile(r"(?<![\w.,])\d[\d.,]*\d\Z")
_PLAIN_WORD = re.compile(r"(?<![\w.$@\\])[^\W\d_]+\Z")
_INTERVALS_IN_CHINESE_LETTERS = ("区间", "區間", "区間", "구간", "范围", "範囲")
_PUNCTUATION = frozenset('.,;:!?…"”’»。，、；：！？')


def is_attached(text: str, start: int) -> bool:
    """Returns True if brackets at this place follow a letter, a digit or a bracket, so that they may be an index."""
    before = text[max(0, start - 1) : start]
    return before in (")", "]", "}", "_") or (before.isalnum() and ord(before) < _LATIN)


def is_value(text: str, start: int, end: int) -> bool:
    """Returns True if a sign of mathematics stands beside the brackets."""
    before = _before(text, start).rstrip(" ")[-1:]
    after = text[end : end + WINDOW]
    return before in _MATHS or after[:1] in ("^", "ᵀ", "⁻") or after.lstrip(" ")[:1] in _MATHS_AFTER


def is_interval(text: str, start: int) -> bool:
    """Returns True if the word before the brackets announces an interval, a vector or the like."""
    before = _before(text, start)
    word = _WORD_BEFORE.search(before)
    if word is None:
        return False
    if before.rstrip().endswith(_INTERVALS_IN_CHINESE_LETTERS):
        return True
    earlier = _TWO_WORDS_BEFORE.search(before)
    shown = earlier is not None and earlier.group(1).lower() in _SHOWING_WORDS
    return word.group(1).lower() in _INTERVAL_WORDS and not shown


def is_index(text: str, start: int, end: int) -> bool:
    """Returns True if the brackets, which are attached to the text before them, are an index."""
    after = text[end : end + 2]
    if after[:1].isalnum() or after[:1] in ("(", "_") or (after[:1] == "." and after[1:].isalpha()):
        return True
    before = text[start - 1]
    if before.isdigit():
        return _NUMBER_BEFORE.search(_before(text, start)) is None
    if before == ")":
        opening = text.rfind("(", max(0, start - 200), start)
        return opening < 0 or is_attached(text, opening)
    return not _ends_in_plain_word(_before(text, start))


def is_raised_citation(text: str, start: int, end: int) -> bool:
    """Returns True if a raised number stands after punctuation or a plain word: not `x²`, `km²` or `10³`."""
    after = text[end : end + 1]
    if after.isalnum() or after in ("(", "⁺", "⁻"):
        return False
    before = _before(text, start)
    if before[-1:] in _PUNCTUATION:
        return True
    word = _PLAIN_WORD.search(before)
    return word is not None and word.group().lower() not in _RAISED_UNITS and _ends_in_plain_word(before)


def _before(text: str, start: int) -> str:
    return text[max(0, start - WINDOW) : start]


def _ends_in_plain_word(text: str) -> bool:
    """Returns True if the text ends in a word of prose, one that no program would give an index."""
    match = _PLAIN_WORD.search(text)
    if match is None:
        return False
    word = match.group()
    if not word.isascii():
        return True
    usual = word.islower() or word.istitle() or word.isupper()
    return len(word) >= 4 and usual and word.lower() not in _INDEXED_WORDS
