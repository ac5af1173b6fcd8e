"""Tests of the chart as Helm renders it."""
