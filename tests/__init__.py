"""Tests: the path mirrors the code, the name states the fact."""
