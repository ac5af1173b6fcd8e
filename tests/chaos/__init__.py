"""The chaos suite: every fault that the product survives, made to happen to a whole system of real processes."""
