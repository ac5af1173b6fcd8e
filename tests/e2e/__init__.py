"""The product's images, from the product's chart, on a real cluster: `make e2e`."""
