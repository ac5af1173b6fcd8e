"""Tests of the product's images and chart on a real cluster: `make e2e`."""
