"""The excerpts of answers that the tour prints."""

from __future__ import annotations

from app.cli.demo.stage import EXCERPT_LINES, excerpt


def test_excerpt_marks_what_it_leaves_out() -> None:
    assert excerpt("one\ntwo") == "one\ntwo"
    cut = excerpt("\n".join(str(number) for number in range(50)))
    assert cut.splitlines()[-1] == "…"
    assert len(cut.splitlines()) == EXCERPT_LINES + 1
