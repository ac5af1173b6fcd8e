"""Pytest's detailed assertion messages, also for the stories, which are not in test modules."""

import pytest

pytest.register_assert_rewrite("tests.chaos.faults", "tests.chaos.lab")
