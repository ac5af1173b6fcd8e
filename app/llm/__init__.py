"""Model calls: one gateway for every provider, with chains, retries, breakers, budgets and prices."""
