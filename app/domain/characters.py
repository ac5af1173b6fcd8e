"""Characters that nobody sees."""

from __future__ import annotations

import unicodedata

# Letters and marks, by their category, that are drawn as nothing: fillers, selectors and joiners.
_DRAWN_AS_NOTHING = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)))
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))


def has_visible_text(text: str) -> bool:
    """Checks whether the text shows anything: neither spaces, control and format characters nor fillers do."""
    return any(
        unicodedata.category(character)[0] not in "CZ" and character not in _DRAWN_AS_NOTHING for character in text
    )
