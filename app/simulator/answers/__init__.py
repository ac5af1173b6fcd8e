"""What the simulated model says: read the prompt, decide what is wanted, write it. Pure; the same in, the same out."""
