"""The answers of the simulated model: read the prompt, decide what it asks for, write it. Pure and deterministic."""
