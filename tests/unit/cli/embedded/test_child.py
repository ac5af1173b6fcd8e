"""The back-off between the starts of a child, and the description of its end."""

from __future__ import annotations

import pytest

from app.cli.embedded.child import LONGEST_DELAY_SECONDS, describe_exit, restart_delay_seconds


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4)])
def test_delay_doubles_with_every_death(deaths: int, seconds: float) -> None:
    assert restart_delay_seconds(deaths) == pytest.approx(seconds)


@pytest.mark.parametrize("deaths", [7, 50, 100_000])
def test_delay_has_a_longest(deaths: int) -> None:
    assert restart_delay_seconds(deaths) == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(("code", "text"), [(0, "exit code 0"), (2, "exit code 2"), (-9, "killed by SIGKILL")])
def test_end_is_described_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text
