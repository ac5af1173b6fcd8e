"""The programming language of an answer. Pure: it reads Markdown, and neither runs code nor guesses from it.

The language that the task asks for wins, else the one with the most code in tagged fenced blocks. A shell, a
configuration or data counts only if it was asked for or if there is no program beside it: the `pip install` above a
module, the JSON that it prints. Without code the last line `Language: <name>` counts, which the prompt asks for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from app.agents.coding.asked_languages import AskedLanguages, read_asked_languages
from app.agents.coding.fenced_blocks import FencedBlock, fenced_blocks
from app.agents.coding.known_languages import KINDS, NOT_CODE, Kind, find_language
from app.llm.providers.thoughts import without_thoughts

# "Language" as models write it, whatever the prompt says, if they answer in another language than English.
_LABEL = (
    r"(?:programming |code |main )?languages?|lang|(?:programmier|code)?sprachen?|"
    r"lang(?:age|ue)s?(?: de programmation)?|lenguajes?(?: de programación)?|idioma|"
    r"linguagem(?: de programação)?|linguaggio(?: di programmazione)?|(?:programmeer)?taal|"
    r"(?:program+erings?)?spr[åo][kg](?:et)?|(?:ohjelmointi)?kieli|język(?: programowania)?|"
    r"(?:programovací )?jazyk|(?:programozási )?nyelv|limbaj(?:ul)?(?: de programare)?|язык(?: программирования)?|"
    r"мова(?: програмування)?|γλώσσα(?: προγραμματισμού)?|(?:programlama )?dili?|ngôn ngữ(?: lập trình)?|"
    r"bahasa(?: pemrograman)?|ภาษา|(?:编程|編程|程式|程序)?[语語]言|(?:プログラミング)?言語|(?:프로그래밍 )?언어|"
    r"(?:لغة|اللغة|زبان)(?: البرمجة)?|(?:प्रोग्रामिंग )?भाषा|שפה|שפת תכנות"
)
_HINT = re.compile(
    rf"(?:^|\n)[ \t>]*(?:[-*•][ \t]+)?[*_`]{{0,3}}(?:{_LABEL})[*_`]{{0,3}}[ \t]*[:：][*_`]{{0,3}}"  # noqa: RUF001 - the full-width colon
    r"[ \t]*(?P<value>[^\n]+?)\s*\Z",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*\n[ \t]*[-*_]{3,}\Z")  # the rule that some models draw above the line
_LISTED = re.compile(r"\s*(?:,|/|&|、|\b(?:and|und|et|y|e|en|i|и)\b|和)\s*")
_HINT_CHARACTERS = 60


def read_language(text: str, *, task: str = "") -> tuple[str, str | None]:
    """Returns the text without its hint line, and the language of its code; None without code or without a name."""
    blocks = list(fenced_blocks(without_thoughts(text)))
    hint = _HINT.search(text)
    languages = _languages_of(hint["value"]) if hint else None
    # The last line of a block that was never closed belongs to its code.
    if hint is None or languages is None or (blocks and not blocks[-1].is_closed):
        return text, _choose(blocks, read_asked_languages(task), hinted=())
    return _RULE.sub("", text[: hint.start()].rstrip()), _choose(blocks, read_asked_languages(task), hinted=languages)


def _languages_of(value: str) -> tuple[str, ...] | None:
    """Returns the languages that the value of the hint names, none for "none"; None if the line is prose."""
    # Without what is in brackets, and without dots, emphasis and pictures around the name.
    name = re.split(r"[(（]", value, maxsplit=1)[0]  # noqa: RUF001 - a bracket of Chinese
    name = re.sub(r"^(?:(?!\.)[\W_])+|(?:(?![+#])[\W_])+$", "", name)
    if name.lower() in NOT_CODE:
        return ()
    if len(name) > _HINT_CHARACTERS:
        return None
    whole = find_language(name)
    if whole is not None:
        return (whole,)
    parts = [find_language(part) for part in _LISTED.split(name)]
    found = tuple(part for part in parts if part is not None)
    return found if len(found) == len(parts) else None


def _choose(blocks: Sequence[FencedBlock], asked: AskedLanguages, *, hinted: Sequence[str]) -> str | None:
    sizes: Counter[str] = Counter()
    for block in blocks:
        if block.language is not None:
            sizes[block.language] += block.size
    untagged = any(block.language is None and block.is_code for block in blocks)
    return (
        _asked_for(sizes, asked, untagged=untagged)
        or _largest(sizes, _programs(sizes) & asked.named)
        or _largest(sizes, _programs(sizes))
        or (_only_one_asked(asked, is_all_code=not sizes) if untagged else None)
        or min(hinted, key=KINDS.__getitem__, default=None)
        or _largest(sizes, sizes.keys() & {asked.port_target})
        or _largest(sizes, {name for name in sizes if KINDS[name] is Kind.SETTING})
        or _largest(sizes, sizes.keys())
    )


def _asked_for(sizes: Counter[str], asked: AskedLanguages, *, untagged: bool) -> str | None:
    target = asked.port_target
    # In a port the tagged code may be the original, quoted.
    if target in _programs(KINDS) and (target in sizes or untagged):
        return target
    # A program's language before others; of several the one that the task names first.
    wanted = sorted((name for name in asked.wanted if name in sizes), key=KINDS.__getitem__)
    if wanted:
        return wanted[0]
    programs = _programs(sizes)
    # A program that the task does not name makes or reads what the target is: "How do I convert a list to CSV?"
    if target in sizes and programs <= asked.named:
        return target
    if untagged and not programs and target is not None:
        return target
    unused = _programs(asked.wanted)
    return next(iter(unused)) if untagged and len(unused) == 1 and programs <= asked.named else None


def _only_one_asked(asked: AskedLanguages, *, is_all_code: bool) -> str | None:
    """Returns the language of code without a tag: the one that is wanted; None if there are several.

    One that is only named counts if nothing is tagged: beside commands, code without a tag is mostly their output.
    """
    candidates = _programs(asked.wanted) or (_programs(asked.named) if is_all_code else set()) or set(asked.wanted)
    return next(iter(candidates)) if len(candidates) == 1 else None


def _programs(names: Collection[str]) -> set[str]:
    return {name for name in names if KINDS[name] is Kind.PROGRAM}


def _largest(sizes: Counter[str], among: Collection[str]) -> str | None:
    return max(sorted(among), key=lambda name: sizes[name], default=None)
