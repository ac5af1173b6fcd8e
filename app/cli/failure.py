"""The one error of the command line itself, apart from the product's."""


class CommandFailed(Exception):
    """A command could not do what it was asked; the message says why and what to do. Exit code 1."""
