"""The agents: a folder each, and the registry that knows them."""
