"""Helm, built where it is not there."""

from __future__ import annotations

import pytest

from tests.toolchain import NoGo, built


@pytest.fixture(scope="session", autouse=True)
def helm_is_there() -> None:
    try:
        built("helm")
    except NoGo as reason:
        pytest.skip(str(reason))
