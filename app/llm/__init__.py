"""Model calls: one gateway for every vendor, with chains, retries, breakers, budgets and prices."""
