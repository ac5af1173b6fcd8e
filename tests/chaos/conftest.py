"""What a story asserts is told as in a test."""

import pytest

pytest.register_assert_rewrite("tests.chaos.faults", "tests.chaos.lab")
