"""The bodies of answers: how tasks, sessions, agents and the system look to callers."""
