"""The errors of the command line itself, besides those of the product, and the exit codes of all commands."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes, which docs/cli.md explains. REFUSED is also the one of a wrong option or argument."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    CANCELLED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class CommandFailed(Exception):
    """A command that failed; the message has the reason and the remedy."""

    exit_code = ExitCode.FAILED


class CommandRefused(CommandFailed):
    """A command with an option or an argument that cannot be."""

    exit_code = ExitCode.REFUSED
