"""Arithmetic in words or signs: `What is 2+2?`, `12 divided by (3 - 1)`.

The parser is its own, so that no text of a task is ever evaluated by Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

_LONGEST = 200  # characters; a longer text asks for more than a sum, and short ones keep the recursion flat
_DECIMALS = 10
_TIMES, _DIVIDED = "\N{MULTIPLICATION SIGN}", "\N{DIVISION SIGN}"
_NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b")
_SIGNS: Sequence[tuple[str, str]] = (
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[\N{MINUS SIGN}\N{EN DASH}]", "-"),
    (rf"\bmultiplied by\b|\btimes\b|[{_TIMES}\N{{MIDDLE DOT}}]|(?<=\d)\s*x\s*(?=[\d(])", "*"),
    (rf"\bdivided by\b|\bover\b|{_DIVIDED}", "/"),
)
_LEAD = re.compile(
    r"(?:hi|hello|hey|please|can you|could you|tell me|what(?:'s| is| does| are)?|how much (?:is|are|does)|calculate|"
    r"compute|evaluate|solve|work out|the (?:result|value|answer) (?:of|to)|was (?:ist|ergibt)|berechne|"
    r"wie ?viel (?:ist|sind|ergibt)|combien (?:font|fait)|calcule|cu[a\u00e1]nto (?:es|son)|quanto fa|[:,\s])*"
)
_TAIL = re.compile(
    r"\s*(?:=|equals?(?: to)?|make|be)?\s*[?.!]*"
    r"(?:[\s,]*(?:please|thanks?(?: you)?|(?:just |only )?(?:answer|reply|give|respond|show|explain)\b[^?]{0,60}))?"
    r"[?.!\s]*"
)
_EXPRESSION = re.compile(r"[\d\s.+*/()-]*\d[\d\s.+*/()-]*")
_PART = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?(?![\d.])|[-+*/()]")


@lru_cache(maxsize=64)  # one answer asks for the same task several times
def solve(task: str) -> str | None:
    """Answers a task that asks for the value of one expression, such as `2 + 2 = 4`; None for any other task."""
    parts = _parts_of(task)
    if parts is None:
        return None
    reader = _Reader(parts)
    try:
        value = reader.read()
    except ValueError:
        return None
    except ZeroDivisionError:
        return f"{_shown(parts)} has no value, because a division by zero has none."
    return f"{_shown(parts)} {_result(value)}"


def _parts_of(task: str) -> list[str] | None:
    if len(task) > _LONGEST:
        return None
    text = _NUMBER_WORD.sub(lambda word: str(_NUMBER_WORDS.index(word[0])), task.lower().strip())
    for pattern, sign in _SIGNS:
        text = re.sub(pattern, sign, text)
    lead = _LEAD.match(text)
    found = _EXPRESSION.match(text, lead.end() if lead else 0)
    if found is None:
        return None
    expression = found[0].rstrip(" .\n")
    if not _TAIL.fullmatch(text, found.start() + len(expression)):
        return None
    parts = _PART.findall(expression)
    whole = "".join(parts) == "".join(expression.split())
    return parts if whole and any(part in "+-*/" for part in parts) and len(parts) > 2 else None


class _Reader:
    """The reader of one expression, part by part. A sum consists of products, a product of factors."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = [*parts, ""]
        self._at = 0

    def read(self) -> Fraction:
        """Returns the value. Raises ValueError if it is no expression, ZeroDivisionError if it has no value."""
        value = self._sum()
        if self._next():
            raise ValueError("more follows the expression")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while self._next() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while self._next() in ("*", "/"):
            value = value * self._factor() if self._take() == "*" else value / self._factor()
        return value

    def _factor(self) -> Fraction:
        part = self._take()
        if part == "-":
            return -self._factor()
        if part != "(":
            return Fraction(part)  # raises ValueError for a sign
        value = self._sum()
        if self._take() != ")":
            raise ValueError("a bracket is open")
        return value

    def _next(self) -> str:
        return self._parts[self._at]

    def _take(self) -> str:
        part = self._next()
        if not part:
            raise ValueError("the expression ends too early")
        self._at += 1
        return part


def _shown(parts: Sequence[str]) -> str:
    # The signs of Markdown are avoided: it would take the stars of 2*3*4 for emphasis.
    signs = {"*": _TIMES, "/": _DIVIDED}
    text = " ".join(signs.get(part, part) for part in parts).replace("( ", "(").replace(" )", ")")
    return re.sub(r"(?<![\d)] )- ", "-", text)


def _result(value: Fraction) -> str:
    if value.denominator == 1:
        return f"= {value.numerator}"
    with localcontext(prec=len(str(abs(value.numerator) // value.denominator)) + _DECIMALS):
        rounded = (Decimal(value.numerator) / Decimal(value.denominator)).normalize()
    sign = "=" if Fraction(rounded) == value else "\N{ALMOST EQUAL TO}"
    return f"{sign} {rounded:f}"
