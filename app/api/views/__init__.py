"""The bodies of answers: the form in which callers see tasks, sessions, agents and the system."""
