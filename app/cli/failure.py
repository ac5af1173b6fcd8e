"""The error of the command line itself, besides those of the product."""


class CommandFailed(Exception):
    """A command that failed; the message has the reason and the remedy. Exit code 1."""
