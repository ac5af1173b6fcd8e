"""CodeAgent: generates, explains and refactors code; never runs it."""
