"""Text that strangers wrote, made safe to show to a model as data.

`clean` removes characters that people cannot see and a model reads (control, bidirectional, zero-width, tag and
private-use characters) and caps the length. A single joiner stays where words or pictures are spelt with it: in Persian
and Indic words, and inside emoji. `enclose` puts the text between two lines with a random boundary, which the author of
the text cannot know, and names its source. This is a heuristic: structure limits what an agent may do, not this.
"""

from __future__ import annotations

import re
import secrets
import unicodedata

_LINE_BREAKS = re.compile("\r\n?|[\u0085\u2028\u2029]")
HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control, except tab and line feed
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"  # fillers, joiners, bidi, variation selectors, specials
    "\ud800-\udfff\ue000-\uf8ff"  # surrogates, private use
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"  # shorthand, music, tags, private planes
    "]+"
)
_NON_JOINER, _JOINER, _PICTURE = "\u200c", "\u200d", "\ufe0f"
# Scripts that are spelt with joiners: Arabic and its kin, Mongolian, those of India, Sri Lanka, Myanmar and Cambodia.
_JOINING = re.compile(
    "[\u0620-\u074a\u074d-\u085b\u0870-\u08c9\u08d3-\u0dff\u1000-\u109f\u1780-\u17d3\u1820-\u18aa\ua840-\ua873"
    "\ua8e0-\ua8ff\ua980-\ua9df\uaa60-\uaa7f\ufb50-\ufdfb\ufe70-\ufefc\U00010a00-\U00010aff\U00011000-\U000117ff"
    "\U0001e900-\U0001e94b]"
)
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u231a-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEY, _KEYCAP = re.compile("[0-9#*]"), "\u20e3"
_VIRAMA = 9  # its combining class in Unicode
_BLANK_LINES = re.compile(r"\n{4,}")
_CUT = "\n[cut here: the text was longer]"
_BOUNDARY_BYTES = 12


def clean(text: str, *, limit: int) -> str:
    """Returns the text without invisible characters, at most `limit` characters long; nothing marks a cut."""
    seen = text[: limit * 4]  # enough to fill the limit with visible text, however much is hidden in between
    visible = HIDDEN.sub(_needed, _LINE_BREAKS.sub("\n", seen))
    cut = _BLANK_LINES.sub("\n\n\n", visible).strip()[:limit]
    return HIDDEN.sub(_needed, cut)  # once more, because the cut can take the neighbour for which a joiner stayed


def _needed(run: re.Match[str]) -> str:
    """Returns the hidden characters that the spelling of their neighbours needs; of a longer run, none.

    One joiner beside a letter of such a script can still carry one bit, which no reader can prevent.
    """
    hidden = run.group()
    before, after = run.string[: run.start()][-1:], run.string[run.end() :][:1]
    if hidden in (_NON_JOINER, _JOINER) and _is_spelt_with(hidden, before, after):
        return hidden
    if hidden == _PICTURE and (_EMOJI.match(before) or (_KEY.match(before) and after == _KEYCAP)):
        return hidden
    if hidden in (_JOINER, _PICTURE + _JOINER) and _EMOJI.match(before) and _EMOJI.match(after):
        return hidden
    return ""


def _is_spelt_with(joiner: str, before: str, after: str) -> bool:
    """Returns True for a joiner in a word of a joining script, or before a Persian ending: "PDF" and its plural."""
    if _JOINING.match(before):
        ends_a_word = joiner == _JOINER or unicodedata.combining(before) == _VIRAMA
        return ends_a_word or after.isalnum() or bool(_JOINING.match(after))
    return before.isalnum() and bool(_JOINING.match(after))


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
