"""The list of sources that models write themselves."""

from __future__ import annotations

import pytest

from app.agents.content.source_list import without_source_list

BODY = "# Title\n\nText [1]."


@pytest.mark.parametrize(
    "listed",
    [
        "## Sources\n\n1. A page\n2. Another",
        "**References**\n- [1] A page",
        "### Works Cited ###\n[1] A page",
        "References:\n\n[1]: https://a.example",
        "---\n## Bibliography\n* A page",
        "## Sources",
    ],
)
def test_a_final_list_is_taken_out(listed: str) -> None:
    assert without_source_list(f"{BODY}\n\n{listed}\n") == BODY


@pytest.mark.parametrize(
    "kept",
    [
        "## Sources\n\nEnergy comes from many sources.",
        "## References\n\n1. A page\n\n## Conclusion\n\nText.",
        "## Shopping list\n\n- bread",
        "Text alone.",
        "",
    ],
)
def test_other_sections_stay(kept: str) -> None:
    assert without_source_list(kept) == kept
