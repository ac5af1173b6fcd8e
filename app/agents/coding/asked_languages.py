"""The languages of code that a task asks for. Pure.

It reads the words beside a language's name, in the languages that most people write in: "in Go", "Write a Python …",
"port this to Rust", "用 Python 写". It is a heuristic that can do little harm: a language counts only if the answer has
code in it, or code without a tag.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.agents.coding import wish_words
from app.agents.coding.known_languages import KINDS, NAMES, Kind


@dataclass(frozen=True)
class AskedLanguages:
    """`named` has every language that the task names; `wanted` those that the code shall be in, in order of appearance.

    `port_target` is the language into which existing code shall be ported.
    """

    port_target: str | None
    wanted: tuple[str, ...]
    named: frozenset[str]


@dataclass(frozen=True)
class _Name:
    """A place that may name a language, with the text beside it on the same line; `is_first` if it begins the line.

    `lead` is the sentence up to the name, `sentence` the place where that begins.
    """

    language: str
    written: str
    before: str
    after: str
    is_first: bool
    lead: str
    sentence: tuple[int, int]


_NEAR = 60  # characters beside a name
_SENTENCE = 200  # characters of a sentence before a name
_SENTENCE_END = re.compile(r"[.!?;:]\s|[。！？；：]")  # noqa: RUF001 - marks of Chinese
_CHARACTERS = 8_000  # of the beginning, and as many of the end; pasted material is in between
_FENCED = re.compile(r"^[ \t>]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_.@#$])[A-Za-z][A-Za-z0-9]*(?:\+\+|#)?(?:\.(?:js|net)\b)?(?![A-Za-z0-9_]|\.[A-Za-z0-9])"
    r"|[^\W\d_A-Za-z]{3,}",
    re.IGNORECASE,
)
# Some languages add letters to a name: "на питоне", "w Pythonie", "Pythonilla".
_INFLECTED = re.compile(
    r"(python|typescript|javascript|kotlin|haskell|питон|пайтон|джаваскрипт|파이썬|パイソン|자바스크립트)\w{1,4}"
)
_SINGLE = frozenset("CDJRVcr")


def read_asked_languages(task: str) -> AskedLanguages:
    """Reads the names outside of pasted code blocks."""
    text = _FENCED.sub("\n", task if len(task) <= 2 * _CHARACTERS else f"{task[:_CHARACTERS]}\n{task[-_CHARACTERS:]}")
    ports = wish_words.PORTS.search(text) is not None
    target: str | None = None
    wanted: list[str] = []
    named: set[str] = set()
    made: set[tuple[int, int]] = set()
    for name in _names(text):
        # "A Python script that converts CSV to SQL" is no port: the rest of such a sentence says what the program does.
        described = name.sentence in made or _describes_a_program(name.lead)
        if not described and _is_port_target(name, ports=ports):
            target = _later_target(target, name.language)
        elif _is_wanted(name):
            wanted.append(name.language)
            if KINDS[name.language] is Kind.PROGRAM and wish_words.MAKES_BEFORE.search(name.before):
                made.add(name.sentence)
        elif _reads_as_a_word(name):
            continue
        named.add(name.language)
    return AskedLanguages(target, tuple(wanted), frozenset(named))


def _later_target(target: str | None, later: str) -> str:
    """Prefers the later target, "it is in Java, port it to Go", and a program's language to that of its data."""
    return later if target is None or KINDS[later] <= KINDS[target] else target


def _names(text: str) -> Iterator[_Name]:
    """Yields the names in order; a name of two words, such as `Visual Basic`, counts once."""
    for number, line in enumerate(text.split("\n")):
        end = 0
        tokens = list(_TOKEN.finditer(line))
        sentences = [0, *(match.end() for match in _SENTENCE_END.finditer(line))]
        for index, token in enumerate(tokens):
            pair = line[token.start() : tokens[index + 1].end()] if index + 1 < len(tokens) else ""
            for written in (pair, token.group()):
                language = _language(written)
                if language is not None and token.start() >= end:
                    end = token.start() + len(written)
                    begun = sentences[bisect_right(sentences, token.start()) - 1]
                    yield _name(line, language, written, start=token.start(), sentence=(number, begun))


def _name(line: str, language: str, written: str, *, start: int, sentence: tuple[int, int]) -> _Name:
    end = start + len(written)
    return _Name(
        language=language,
        written=written,
        before=line[max(0, start - _NEAR) : start],
        after=line[end : end + _NEAR],
        is_first=not re.search(r"\w", line[:start]),
        lead=line[max(sentence[1], start - _SENTENCE) : start],
        sentence=sentence,
    )


def _language(written: str) -> str | None:
    called = re.sub(r"\s+", "-", written.lower())
    if called in wish_words.PRODUCTS or (len(written) == 1 and written not in _SINGLE):
        return None
    inflected = _INFLECTED.fullmatch(called)
    return NAMES.get(inflected[1] if inflected else called) or wish_words.LIBRARIES.get(called)


def _is_word(written: str) -> bool:
    called = written.lower()
    return called in wish_words.WORDS or (len(called) <= 3 and called not in wish_words.SHORT_NAMES)


def _is_port_target(name: _Name, *, ports: bool) -> bool:
    """Returns True for the Rust of "port this to Rust" and of "C to Rust", and for no "to" of another kind."""
    if ports and wish_words.IN_BEFORE.search(name.before):
        return True
    to = wish_words.TO_BEFORE.search(name.before)
    leads = (
        (to is not None and not _follows_an_article(name))
        or wish_words.TO_A_BEFORE.search(name.before)
        or wish_words.TO_AFTER.match(name.after)
        or wish_words.OUT_OF_BEFORE.search(name.before)
    )
    # "Into Go, please" says nothing else.
    alone = to is not None and not re.search(r"\w", name.lead[: max(0, len(name.lead) - len(to[0]))])
    return bool(leads) and (ports or alone or _follows_a_name(name))


def _follows_an_article(name: _Name) -> bool:
    """Returns True for the "a" of "a C program", which is "to" in Spanish."""
    article = wish_words.ARTICLE_BEFORE.search(name.before)
    return article is not None and (_followed_by_code(name) or wish_words.MAKES_BEFORE.search(name.before) is not None)


def _describes_a_program(lead: str) -> bool:
    made = wish_words.MAKES_A_PROGRAM.search(lead)
    is_new = made is not None and not wish_words.GIVEN.search(made.group())
    return is_new or wish_words.WHICH_CONVERTS.search(lead) is not None


def _follows_a_name(name: _Name) -> bool:
    return _names_a_language([token.group() for token in _TOKEN.finditer(name.before)][-4:])


def _names_a_language(words: Iterable[str]) -> bool:
    return any(_language(word.strip(".,:;\"'()`")) for word in words)


def _is_wanted(name: _Name) -> bool:
    kind = KINDS[name.language]
    if name.written in wish_words.ADJECTIVES and not _followed_by_code(name):
        return False
    if kind is not Kind.MATERIAL and (
        wish_words.IN_BEFORE.search(name.before) or wish_words.IN_AFTER.match(name.after)
    ):
        return True
    if kind is Kind.PROGRAM and wish_words.WITH_BEFORE.search(name.before):
        return True
    if _reads_as_a_word(name) and not _followed_by_code(name):
        return False
    return _is_to_be_made(name) and not (kind is not Kind.PROGRAM and _belongs_to_a_program(name))


def _reads_as_a_word(name: _Name) -> bool:
    """Returns True for the "make" of "Make it go": only a capital inside a sentence marks it as a name."""
    return _is_word(name.written) and (name.is_first or name.written.islower())


def _followed_by_code(name: _Name) -> bool:
    return wish_words.PROGRAM.match(name.after.lstrip(" -")) is not None


def _is_to_be_made(name: _Name) -> bool:
    made = wish_words.MAKES_BEFORE.search(name.before)
    if made is None:
        return name.is_first and wish_words.BECOMES.match(name.after) is None
    return not wish_words.GIVEN.search(made.group()) and not _names_a_language(made.group().split())


def _belongs_to_a_program(name: _Name) -> bool:
    """Returns True for "write a script to read JSON" and for "write a JSON parser"."""
    return bool(wish_words.TOOL_AFTER.match(name.after) or wish_words.PROGRAM.search(name.lead))
