"""Tests of the ways to run the system on one machine: Docker Compose, skaffold and kind."""
