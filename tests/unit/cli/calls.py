"""The command line as if its user had called it in a certain way."""

from __future__ import annotations

import sys

import pytest


def called_as(monkeypatch: pytest.MonkeyPatch, program: str, *, python: str = "python") -> None:
    """Makes hints those of a user who called this program, in the case of a module with this Python."""
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "orig_argv", [python])
