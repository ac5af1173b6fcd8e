"""The HTML that readers make of a Markdown text, and the addresses in its attributes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from urllib.parse import unquote

from markdown_it import MarkdownIt

_ADDRESSES = frozenset(
    "action background cite content data formaction href poster src srcset xlink:href ping manifest".split()  # noqa: SIM905 - one line
)
_SCRIPT = re.compile(r"\s*(?:javascript|vbscript|data):", re.IGNORECASE)


class Attributes(HTMLParser):
    """A reader that keeps element, name and value of all attributes, and the text of comments and declarations."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]

    def handle_comment(self, data: str) -> None:
        self.found.append(("!", "comment", data))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("!", "declaration", decl))

    def handle_pi(self, data: str) -> None:
        self.found.append(("!", "instruction", data))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("!", "declaration", data))


class Credulous(MarkdownIt):
    """A reader that refuses no target."""

    def validateLink(self, url: str, validator: Callable[[str], bool] | None = None) -> bool:  # noqa: N802 - the library's
        return True


@functools.cache
def readers() -> Sequence[MarkdownIt]:
    """Builds the readers: CommonMark, with tables, with much nesting, and without the refusal of scripts."""
    return (
        MarkdownIt("commonmark", {"html": True}),
        MarkdownIt("js-default", {"html": True}),
        MarkdownIt("commonmark", {"html": True, "maxNesting": 60}),
        Credulous("commonmark", {"html": True}).enable(["table", "strikethrough"]),
    )


def attributes_of(markdown: str) -> list[tuple[str, str, str]]:
    """Returns the attributes that any of the readers makes of the text."""
    found: list[tuple[str, str, str]] = []
    for reader in readers():
        attributes = Attributes()
        attributes.feed(reader.render(markdown))
        attributes.close()
        found += attributes.found
    return found


def dangerous_attributes(markdown: str, *, allowed: Sequence[str], foreign: str) -> list[tuple[str, str, str]]:
    """Returns attributes that hold the name `foreign` or a script, or an address that does not begin as `allowed` does.

    A place in the text itself, `#part`, is allowed, and so is the class of a code block, which leads nowhere: it holds
    whatever stands behind the fence.
    """
    return [
        (tag, name, value)
        for tag, name, value in attributes_of(markdown)
        if (tag, name) != ("code", "class")
        and (
            foreign in unquote(value).lower()
            or name.startswith("on")
            or (tag != "!" and _SCRIPT.match(value))
            or (name in _ADDRESSES and value and not value.startswith(("#", *allowed)))
        )
    ]
