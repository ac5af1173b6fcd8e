"""Tests of the local stack with real child processes."""
