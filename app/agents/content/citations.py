"""The node `check_citations`: the text may cite only what the search returned, whatever the model wrote.

Pure. Numbers without a source and addresses that are neither a source, nor in the user's own text, nor reserved for
examples are removed and counted. The sources that the text cites are numbered anew in order of appearance and listed
at its end, so that `[n]` is the n-th citation of the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext
from app.agents.content import prompts
from app.agents.content.links import REMOVED, find_addresses, is_reserved, replace_addresses, url_key
from app.agents.content.search_note import build_search_note
from app.agents.content.source_list import without_source_list
from app.agents.content.state import CitationState, ContentState, SearchOutcome, Source

_CODE = re.compile(
    r"(?:^ {0,3}(?P<fence>`{3,16}|~{3,16})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z))"
    r"|(?<!`)(?P<ticks>`{1,3})(?!`)[^`\n]+(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
_NUMBERS = re.compile(r" ?\[\^?(\d{1,3}(?:\s*[,;\u2013-]\s*\^?\d{1,3})*)\](?!\()")
# The repetitions are bounded: a text of 60,000 opening brackets would otherwise take quadratic time.
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<label>(?:[^\[\]]|\[[^\[\]]{0,200}\]){0,500})\]"
    r"\(\s*<?(?P<target>(?:[^\s()<>]|\([^\s()<>]*\))*)>?(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\s*\)"
)
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*<?(?P<target>\S+?)>?(?:[ \t][^\n]*)?$\n?", re.MULTILINE)


@dataclass(frozen=True)
class CheckedText:
    """A text after the check. `dropped` counts the numbers and addresses that were removed."""

    text: str
    cited: tuple[Source, ...]
    dropped: int


async def check_citations(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    """Checks the draft and builds the final text with its citations."""
    checked = check(state["content"], sources=state["sources"], task=state["task"])
    runtime.context.metrics.citations_dropped.inc(checked.dropped)
    citations = [
        CitationState(source=source["site"], title=source["title"], url=source["url"]) for source in checked.cited
    ]
    content = assemble(checked, outcome=SearchOutcome(state["search_outcome"]), task=state["task"])
    return {"content": content, "citations": citations}


def check(text: str, *, sources: Sequence[Source], task: str) -> CheckedText:
    """Applies the rules of this module."""
    check_pass = _Pass(sources=sources, user_addresses=frozenset(map(url_key, find_addresses(task))))
    # The order matters. Removing something can join its neighbours to an address: `ht[9]tp://…`. So addresses are
    # judged after definitions, numbers and links are gone, and `renumber`, the last pass, joins nothing.
    text = without_source_list(text)
    text = _outside_code(text, check_pass.drop_definitions)
    text = _outside_code(text, check_pass.drop_unknown_numbers)
    text = _outside_code(text, check_pass.replace_links)
    text = _outside_code(text, check_pass.replace_bare_addresses, code=check_pass.drop_addresses_in_code)
    text = _outside_code(text, check_pass.renumber)
    return CheckedText(text=text.strip(), cited=tuple(check_pass.cited.values()), dropped=check_pass.dropped)


def assemble(checked: CheckedText, *, outcome: SearchOutcome, task: str = "") -> str:
    """Builds the answer: a note if the text rests on no search, the text, and the list of the sources that it cites."""
    note = build_search_note(outcome, text=checked.text, task=task)
    parts = [note, checked.text] if note else [checked.text]
    if checked.cited:
        lines = [f"{number}. {source['title']} — {source['url']}" for number, source in enumerate(checked.cited, 1)]
        parts.append("\n".join([prompts.SOURCES_HEADING, "", *lines]))
    return "\n\n".join(parts)


@dataclass
class _Pass:
    """The passes over one text, the sources that it cites, and the count of what they dropped."""

    sources: Sequence[Source]
    user_addresses: frozenset[str | None]
    dropped: int = 0
    cited: dict[int, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_number = {source["number"]: source for source in self.sources}
        self._by_key = {url_key(source["url"]): source["number"] for source in self.sources}

    def drop_definitions(self, text: str) -> str:
        """Removes Markdown's link definitions, `[1]: https://…`."""

        def replace(match: re.Match[str]) -> str:
            if not find_addresses(match["target"]):
                return match.group()
            self.dropped += self._foreign(match["target"])
            return ""

        return _DEFINITION.sub(replace, text)

    def drop_unknown_numbers(self, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            numbers = _numbers(match.group(1))
            known = [number for number in numbers if number in self._by_number]
            self.dropped += len(numbers) - len(known)
            return _space(match) + _bracketed(known) if known else ""

        return _NUMBERS.sub(replace, text)

    def replace_links(self, text: str) -> str:
        """Turns links to sources into numbers, other links into their words, and images into their descriptions."""
        return _LINK.sub(self._replace_link, text)

    def _replace_link(self, match: re.Match[str]) -> str:
        target, label = match["target"], match["label"].strip()
        number = self._by_key.get(url_key(target))
        if number is not None:
            bare = label.isdigit() or bool(find_addresses(label)) or not label
            return _bracketed([number]) if bare else f"{label} {_bracketed([number])}"
        if target.startswith("#") or (find_addresses(target) == [target] and not self._foreign(target)):
            # A browser fetches an image without a click, with whatever its address gives away: it stays as words only.
            return label if match["image"] else match.group()
        self.dropped += 1
        return "" if label.isdigit() else label

    def replace_bare_addresses(self, text: str) -> str:
        return replace_addresses(text, self._replace_address)

    def _replace_address(self, address: str) -> str:
        number = self._by_key.get(url_key(address))
        return self._keep_or_remove(address) if number is None else _bracketed([number])

    def drop_addresses_in_code(self, text: str) -> str:
        """Removes foreign addresses from code. Those of sources stay: a number in their place would break the code."""
        return replace_addresses(text, self._keep_or_remove)

    def _keep_or_remove(self, address: str) -> str:
        if not self._foreign(address):
            return address
        self.dropped += 1
        return REMOVED

    def renumber(self, text: str) -> str:
        order: dict[int, int] = {number: position for position, number in enumerate(self.cited, 1)}

        def replace(match: re.Match[str]) -> str:
            known = [number for number in _numbers(match.group(1)) if number in self._by_number]
            for number in known:
                self.cited.setdefault(number, self._by_number[number])
                order.setdefault(number, len(order) + 1)
            # A space in place of unknown numbers: their neighbours must not join to an address in this last pass.
            return _space(match) + (_bracketed([order[number] for number in known]) if known else " ")

        return _NUMBERS.sub(replace, text)

    def _foreign(self, address: str) -> bool:
        key = url_key(address)
        return key not in self._by_key and key not in self.user_addresses and not is_reserved(address)


def _outside_code(text: str, change: Callable[[str], str], *, code: Callable[[str], str] | None = None) -> str:
    """Changes the prose and leaves code as it is, or changes it by `code`."""
    parts: list[str] = []
    end = 0
    for match in _CODE.finditer(text):
        parts += [change(text[end : match.start()]), code(match.group()) if code else match.group()]
        end = match.end()
    parts.append(change(text[end:]))
    return "".join(parts)


def _numbers(listed: str) -> list[int]:
    """Reads `1, 3-5` as numbers; a range that runs backwards counts as its two ends."""
    numbers: list[int] = []
    for part in re.split(r"[,;]", listed.replace("^", "")):
        ends = [int(end) for end in re.split(r"[\u2013-]", part)]
        numbers += range(ends[0], ends[-1] + 1) if ends[0] <= ends[-1] else ends
    return list(dict.fromkeys(numbers))


def _bracketed(numbers: Sequence[int]) -> str:
    return "".join(f"[{number}]" for number in numbers)


def _space(match: re.Match[str]) -> str:
    return " " if match.group().startswith(" ") else ""
