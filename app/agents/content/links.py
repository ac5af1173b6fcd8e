"""Web addresses in a text: their form, the page that each leads to, and the ones that may stay. Pure.

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
    """Returns a key of the page behind an address: equal for http and https, with or without fragment and final slash.

    Returns None for a text that is not an address with a host.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:  # brackets that hold no IPv6 address
        return None
    if not parts.hostname:
        return None
    return f"{parts.netloc.lower()}{parts.path.rstrip('/')}?{parts.query}"


def is_citable(url: str) -> bool:
    """Returns True if a search hit's address is one whole http or https address and nothing more."""
    match = _ADDRESS.fullmatch(url)
    return match is not None and url.lower().startswith(("http://", "https://")) and _trimmed(url) == url


def is_reserved(url: str) -> bool:
    """Returns True if the host is this machine or reserved for documentation: such an example leads nowhere."""
    try:
        host = urlsplit(url if "://" in url else f"https://{url}").hostname or ""
    except ValueError:
        return False
    return host == "127.0.0.1" or any(host == name or host.endswith(f".{name}") for name in _RESERVED_HOSTS)


def find_addresses(text: str) -> list[str]:
    return [_trimmed(match.group()) for match in _ADDRESS.finditer(text)]


def replace_addresses(text: str, replace: Callable[[str], str]) -> str:
    """Replaces every address in the text; punctuation after an address that ends the sentence stays."""

    def replaced(match: re.Match[str]) -> str:
        address = _trimmed(match.group())
        return replace(address) + match.group()[len(address) :]

    return _ADDRESS.sub(replaced, text)


def clean_title(title: str) -> str:
    """Makes one short line of a page's title, which is foreign text: without addresses or Markdown brackets."""
    plain = replace_addresses(title, lambda _: REMOVED)
    return " ".join(plain.translate(str.maketrans("[]<>`", "     ")).split())[:TITLE_CHARACTERS]


def _trimmed(address: str) -> str:
    while address:
        last = address[-1]
        # A closing bracket belongs to an address that opens it, `…/wiki/C_(language)`, else to the sentence around it.
        unbalanced = last == ")" and address.count(")") > address.count("(")
        if last not in _TRAILING and not unbalanced:
            break
        address = address[:-1]
    return address
