"""docs/config-reference.md agrees with the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.settings_reference import TITLES, render_reference
from app.settings import GROUPS

DOCUMENT = Path(__file__).parents[3] / "docs" / "config-reference.md"


def test_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render_reference(), "run `make docs`"


def test_every_setting_has_a_row_with_a_description() -> None:
    text = render_reference()
    for group in GROUPS.values():
        for field in group.model_fields.values():
            assert field.description
            assert f"| `{field.validation_alias}` | " in text


def test_every_group_has_a_title() -> None:
    assert set(GROUPS) <= set(TITLES)


def test_reference_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_reference()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-should-not-appear")
    assert render_reference() == before
