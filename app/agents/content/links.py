"""Web addresses in a text: what one looks like, when two are the same page, which ones may stay. Pure.

Only addresses that can be followed from a document count (http, https, ftp, ws, file, `www.`); `mongodb://host` is
technical text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

TITLE_CHARACTERS = 200
REMOVED = "(link removed)"

_BODY = r"[^\s<>\"'`\[\]{}|\\^]"
_IPV6 = r"\[[0-9a-f.]*:[0-9a-f:.]*\]"
_ADDRESS = re.compile(rf"(?:(?:https?|ftps?|wss?|file)://|\bwww\.)(?:{_IPV6}|{_BODY}){_BODY}*", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_RESERVED_HOSTS = ("localhost", "example.com", "example.org", "example.net", "example", "test", "invalid")


def url_key(url: str) -> str | None:
    """The page behind an address: equal for http and https, with or without fragment and final slash.

    None for what is no address with a host.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return f"{parts.netloc.lower()}{parts.path.rstrip('/')}?{parts.query}"


def is_citable(url: str) -> bool:
    """Whether a search hit's address is one whole http or https address and nothing more."""
    match = _ADDRESS.fullmatch(url)
    return match is not None and url.lower().startswith(("http://", "https://")) and _trimmed(url) == url


def is_reserved(url: str) -> bool:
    """Whether the host is this machine or one reserved for documentation: an example that leads nowhere."""
    try:
        host = urlsplit(url if "://" in url else f"https://{url}").hostname or ""
    except ValueError:
        return False
    return host == "127.0.0.1" or any(host == name or host.endswith(f".{name}") for name in _RESERVED_HOSTS)


def find_addresses(text: str) -> list[str]:
    return [_trimmed(match.group()) for match in _ADDRESS.finditer(text)]


def replace_addresses(text: str, replace: Callable[[str], str]) -> str:
    """The text with every address replaced; punctuation that ends the sentence behind one stays."""

    def replaced(match: re.Match[str]) -> str:
        address = _trimmed(match.group())
        return replace(address) + match.group()[len(address) :]

    return _ADDRESS.sub(replaced, text)


def clean_title(title: str) -> str:
    """A page's title, which is foreign text, as one short line without addresses or Markdown brackets."""
    plain = replace_addresses(title, lambda _: REMOVED)
    return " ".join(plain.translate(str.maketrans("[]<>`", "     ")).split())[:TITLE_CHARACTERS]


def _trimmed(address: str) -> str:
    while address:
        last = address[-1]
        unbalanced = last == ")" and address.count(")") > address.count("(")
        if last not in _TRAILING and not unbalanced:
            break
        address = address[:-1]
    return address
