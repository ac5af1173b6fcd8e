"""Haikus: three lines of five, seven and five syllables, on a few subjects."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.simulator.answers.articles import REMARK
from app.simulator.answers.reading import title_case

_HAIKUS: Sequence[tuple[str, str]] = (
    (r"rain(?:y|ing)?|storm|umbrella", "Soft rain on the roof\neach drop a small drum that asks\nthe garden to wake"),
    (r"autumn|fall|lea(?:f|ves)|wind", "Red leaves let go now\nthe wind counts them one by one\nand forgets the sum"),
    (r"sea|oceans?|waves?|tides?|beach", "Grey waves come and go\nthe shore keeps a line of foam\nthen lets it go too"),
    (
        r"spring|blossoms?|flowers?|trees?",
        "A bud splits its coat\non the branch I thought was dead\ngreen has kept its word",
    ),
    (r"summer|sun|heat|dogs?", "Noon without a breeze\nthe dog has found the one shade\nand dreams of the stream"),
    (r"moon|ponds?|frogs?", "The moon in the pond\na frog jumps and breaks it up\nthen waits for its light"),
    (r"winter|snow|ice|night", "Snow has closed the road\none lamp is lit far away\nthe night holds its breath"),
    (
        r"code|coding|program\w*|software|bugs?|tests?",
        "One test has turned red\nI read the same line ten times\nthen I see the dot",
    ),
    (r"mountains?|hills?|hiking|path", "Cloud on the high ridge\nthe path goes on out of sight\nmy steps go on too"),
    (r"tea|coffee|morning", "Steam climbs from the cup\nfor as long as it stays warm\nno one needs a word"),
)
ANY_SUBJECT = "A page with no words\none thought stops here for a while\nand then it moves on"
_WISH = re.compile(
    r"(?:^\W*|\b(?:write|compose|create|draft|make|give|want|need|schreib\w*)\s+(?:me\s+|us\s+|mir\s+)?"
    r"(?:an?|one|another|ein)\s+(?:[\w-]+\s+){0,2})haiku\b"
    r"(?:\s+(?:about|on|of|for|über|sur|sobre)\s+(?:(?:the|an?)\s+)?(?P<subject>[^.!?\n]+))?",
    re.I,
)


def write_haiku(task: str) -> str | None:
    """Writes the haiku that the task asks for; None for any other task. Without a fitting one it says so."""
    wish = _WISH.search(task)
    if wish is None:
        return None
    subject = (wish["subject"] or "").strip()
    fitting = next((haiku for words, haiku in _HAIKUS if re.search(rf"\b(?:{words})\b", subject, re.I)), None)
    if fitting is None and subject:
        return f"**{title_case(subject)}**\n\n{_lines(ANY_SUBJECT)}\n\n{REMARK}"
    return _lines(fitting or ANY_SUBJECT)


def _lines(haiku: str) -> str:
    return haiku.replace("\n", "  \n")  # Markdown breaks a line that ends in two spaces
