"""The world of the tests of AgentTasks."""

from __future__ import annotations

import pytest

from tests.unit.kubernetes_operator.world import World


@pytest.fixture
def world() -> World:
    return World()
