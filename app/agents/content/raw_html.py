"""Raw HTML in a Markdown text: its tags, and the ones that lead nowhere, load nothing and run nothing. Pure.

A tag may stay if a browser reads it as this module does, in whatever place it stands. Therefore no tag that stays holds
a second `<`, and elements that change the reading of what follows (`script`, `svg`, `textarea` …) never stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from app.agents.content.links import find_addresses, is_place

Span = tuple[int, int]

_ATTRIBUTE = r"\s+(?P<name>[^\s\"'<>/=\x00-\x1f]+)(?:\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+))?"
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_ANY_ATTRIBUTE = _ATTRIBUTE.replace("?P<name>", "?:").replace("?P<value>", "?:")
_ELEMENT = "[A-Za-z][A-Za-z0-9-]*"
_TAG = re.compile(rf"<(?:(?P<opening>{_ELEMENT})(?:{_ANY_ATTRIBUTE})*\s*/?|/(?P<closing>{_ELEMENT})\s*)>")
_OTHERS = (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"), ("<!", ">"))
_PLAIN_COMMENT = re.compile(r"<!--(?!-?>)(?:[^<>&-]|-(?!-))*-->")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Elements that load, run, send or redirect, and those whose content is not read as HTML.
_HARMFUL = _names(
    """
    applet area audio base body button embed fieldset form frame frameset head html iframe img image input isindex
    keygen label layer link map marquee math meta noembed noframes noscript object option param picture plaintext
    portal script select slot source style svg template textarea title track video xmp
    """
)
_ADDRESSES = _names(
    """
    action archive background cite classid code codebase content data dynsrc formaction href icon imagesrcset itemid
    itemtype longdesc lowsrc manifest ping poster profile src srcdoc srcset usemap xlink:href xml:base
    """
)
_PLAIN_STYLE = re.compile(r"[\w\s:;,.%#!()-]*")
_SCRIPT = re.compile(r"(?:javascript|vbscript|data|livescript|mocha|blob|filesystem|view-source):")
_IGNORED = re.compile(r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")
_SLASHES = re.compile(r"[/\\]{2}")


@dataclass(frozen=True)
class Tag:
    """One tag. Names are in lower case; entities in values are decoded."""

    name: str
    closing: bool
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def link_target(self) -> str | None:
        """The address that a click on this tag opens, or None."""
        href = self._value("href")
        return as_address(href) if self.name == "a" and href else None

    @property
    def description(self) -> str:
        """The words for people who do not see the image, on one line and without signs of a tag."""
        return " ".join(re.sub("[<>]", " ", self._value("alt")).split())

    def _value(self, name: str) -> str:
        return next((value for known, value in self.attributes if known == name), "")


def tag_spans(content: str) -> list[Span]:
    """Returns the places of the tags, comments and instructions in raw HTML; each `<` outside of them is text."""
    spans: list[Span] = []
    missing: set[str] = set()
    start = content.find("<")
    while start >= 0:
        end = _end_of_tag(content, start, missing)
        if end:
            spans.append((start, end))
        start = content.find("<", end or start + 1)
    return spans


def read_tag(text: str) -> Tag | None:
    """Reads a tag; returns None for a comment, an instruction or a declaration."""
    match = _TAG.fullmatch(text)
    if match is None:
        return None
    if match["closing"]:
        return Tag(match["closing"].lower(), closing=True)
    attributes = _ATTRIBUTES.finditer(text, match.end("opening"))
    return Tag(
        match["opening"].lower(),
        closing=False,
        attributes=tuple((attribute["name"].lower(), _unquoted(attribute["value"] or "")) for attribute in attributes),
    )


def is_harmless(tag: Tag, may_lead_to: Callable[[str], bool]) -> bool:
    """Returns True if the tag may stay: only the `href` of an `a` may hold an address, if `may_lead_to` allows it."""
    names = [name for name, _ in tag.attributes]
    # Of two attributes with one name, a browser takes the first, but not every program that shows the text does.
    if tag.name in _HARMFUL or len(names) != len(set(names)):
        return False
    if tag.link_target is not None and not may_lead_to(tag.link_target):
        return False
    followed = "href" if tag.link_target is not None else None
    return all(_is_harmless_attribute(name, value) for name, value in tag.attributes if name != followed)


def as_address(value: str) -> str:
    """Returns the value as a browser reads it: without the signs that it skips, and with percent signs decoded."""
    return _IGNORED.sub("", unquote(value))


def is_plain_comment(text: str) -> bool:
    """Returns True for a comment that ends for every browser at the same place, and names no address."""
    return _PLAIN_COMMENT.fullmatch(text) is not None and not find_addresses(text)


def _is_harmless_attribute(name: str, value: str) -> bool:
    if name.startswith("on") or "<" in value:
        return False
    address = as_address(value)
    if name in _ADDRESSES:
        return not address or is_place(address)
    if name == "style":
        return _PLAIN_STYLE.fullmatch(value) is not None and not re.search(r"url|image|src|expression", value, re.I)
    return not (_SLASHES.search(address) or _SCRIPT.search(address.lower()) or find_addresses(value))


def _end_of_tag(content: str, start: int, missing: set[str]) -> int:
    """Returns the end of what begins at `start`, 0 if it is text. `missing` has the ends that do not come any more."""
    match = _TAG.match(content, start)
    if match:
        return match.end()
    for opening, closing in _OTHERS:
        if content.startswith(opening, start):
            # Looked for once: a thousand openings without an end would take quadratic time.
            found = -1 if closing in missing else content.find(closing, start + len(opening))
            if found < 0:
                missing.add(closing)
                return 0
            return found + len(closing)
    return 0


def _unquoted(value: str) -> str:
    return unescape(value[1:-1] if value[:1] in ("'", '"') else value)
