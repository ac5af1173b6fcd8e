"""Texts with common words are near each other."""

from __future__ import annotations

import pytest

from app.simulator.embeddings import embed


def likeness(first: str, second: str) -> float:
    return sum(a * b for a, b in zip(embed(first, 256), embed(second, 256), strict=True))


def test_vectors_have_length_one() -> None:
    assert likeness("solar power in Spain", "solar power in Spain") == pytest.approx(1.0, abs=1e-5)
    assert len(embed("", 1536)) == 1536


def test_kindred_texts_are_nearer() -> None:
    assert likeness("the user likes green tea", "which tea does the user like") > likeness(
        "the user likes green tea", "deploy servers with terraform"
    )
