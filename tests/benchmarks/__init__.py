"""What the system costs and how fast it is, beside a baseline measured in the same run: `make bench`."""
