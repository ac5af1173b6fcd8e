"""Helm for the tests of the chart, built if it is missing."""

from __future__ import annotations

import pytest

from tests.support.toolchain import built_or_skipped


@pytest.fixture(scope="session", autouse=True)
def helm_is_there() -> None:
    built_or_skipped("helm")
