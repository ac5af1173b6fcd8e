"""Changes of parts of a text."""

from __future__ import annotations

from app.agents.content.edits import Edit, apply_edits


def test_the_rest_stays_and_what_was_dropped_is_summed() -> None:
    assert apply_edits("abcdef", [Edit(4, 5, "", 1), Edit(1, 2, "XX", 2)]) == ("aXXcdf", 3)


def test_of_two_that_overlap_the_longer_at_one_place_is_made_and_counted() -> None:
    assert apply_edits("abcdef", [Edit(2, 3, "x", 1), Edit(1, 2, "y", 5), Edit(1, 4, "-", 1)]) == ("a-ef", 1)


def test_without_edits_nothing_changes() -> None:
    assert apply_edits("abc", []) == ("abc", 0)
