"""Text that strangers wrote, made safe to show to a model as data.

`clean` removes characters that people cannot see and a model reads (control, bidirectional, zero-width, tag and
private-use characters) and caps the length. `enclose` puts the text between two lines with a random boundary, which
the author of the text cannot know, and names its source. This is a heuristic: structure limits what an agent may do,
not this.
"""

from __future__ import annotations

import re
import secrets

_LINE_BREAKS = re.compile("\r\n?|[\u0085\u2028\u2029]")
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control, except tab and line feed
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"  # fillers, joiners, bidi, variation selectors, specials
    "\ud800-\udfff\ue000-\uf8ff"  # surrogates, private use
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"  # shorthand, music, tags, private planes
    "]"
)
_BLANK_LINES = re.compile(r"\n{4,}")
_CUT = "\n[cut here: the text was longer]"
_BOUNDARY_BYTES = 12


def clean(text: str, *, limit: int) -> str:
    """Returns the text without invisible characters, at most `limit` characters long; nothing marks a cut."""
    seen = text[: limit * 4]  # enough to fill the limit with visible text, however much is hidden in between
    return _BLANK_LINES.sub("\n\n\n", _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", seen))).strip()[:limit]


def enclose(text: str, *, source: str, limit: int) -> str:
    """Encloses the cleaned text as a block of data; `source` names its origin (an address, `user`, a tool's name).

    A text longer than `limit` characters is cut, and a line in the block marks the cut. Every call takes a new
    boundary.
    """
    boundary = secrets.token_hex(_BOUNDARY_BYTES)
    body = clean(text, limit=limit)
    if len(text) > limit and len(body) == limit:
        body += _CUT
    label = clean(source, limit=300).replace("\n", " ").replace('"', "'")
    return f'<<<data {boundary} source="{label}">>>\n{body}\n<<<end {boundary}>>>'
