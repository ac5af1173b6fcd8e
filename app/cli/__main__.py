"""The entry of `agent-orchestrator`: it runs a command, and turns every end into a message and an exit code.

The commands are imported inside: a Ctrl+C during the import would otherwise print a traceback.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs a command. An error is one message on standard error."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(130)  # ExitCode.INTERRUPTED, which may not be imported yet


def _run() -> int:
    from app.cli.failure import CommandFailed, ExitCode
    from app.cli.main import app
    from app.errors import AgentOrchestratorError, ConfigurationError, DependencyError, InvalidRequest, RequestError

    output = sys.stdout
    # A terminal or file in another encoding shows a replacement for what it does not have.
    output.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text file, unless a test replaces it
    try:
        app()
    except SystemExit as end:
        # The command's library ends with 1 and another output if the reader, such as `head`, has closed the pipe.
        return ExitCode.PIPE_CLOSED if sys.stdout is not output else _flush(end.code)
    except CommandFailed as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except AgentOrchestratorError as error:
        wrong = error.fields if isinstance(error, InvalidRequest) else ()
        sys.stderr.write("\n  ".join([str(error), *(f"{field} {problem}" for field, problem in wrong)]) + "\n")
        if isinstance(error, RequestError | ConfigurationError):
            return ExitCode.REFUSED
        return ExitCode.UNREACHABLE if isinstance(error, DependencyError) else ExitCode.FAILED
    except OSError as error:
        return _cannot_write(error)
    return _flush(ExitCode.DONE)


def _flush(code: str | int | None) -> int:
    """Writes what is left of the output; returns the code, or that of the failure to write."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 141  # ExitCode.PIPE_CLOSED
    except OSError as error:
        return _cannot_write(error)
    return code if isinstance(code, int) else int(code is not None)


def _cannot_write(error: OSError) -> int:
    _drop_output()
    sys.stderr.write(f"{error.strerror}{f': {error.filename}' if error.filename else ''}\n")
    return 1


def _drop_output() -> None:
    """Lets nothing be written any more: Python would try once more at its end, and fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
