"""The entry of `agent-orchestrator`: it runs a command, and turns every end into a message and an exit code.

The commands are imported inside: a Ctrl+C during the import would otherwise print a traceback.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs a command. Errors are told on standard error, in a sentence."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough
        # Python would try once more to write what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _run() -> None:
    from app.cli.failure import CommandFailed, ExitCode
    from app.cli.main import app
    from app.errors import AgentOrchestratorError, ConfigurationError, DependencyError, InvalidRequest, RequestError

    # A terminal or file in another encoding shows a replacement for what it does not have.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text file, unless a test replaces it
    try:
        app()
        sys.stdout.flush()
    except CommandFailed as error:
        _end(str(error), error.exit_code)
    except AgentOrchestratorError as error:
        wrong = error.fields if isinstance(error, InvalidRequest) else ()
        text = "\n  ".join([str(error), *(f"{field} {problem}" for field, problem in wrong)])
        if isinstance(error, RequestError | ConfigurationError):
            _end(text, ExitCode.REFUSED)
        _end(text, ExitCode.UNREACHABLE if isinstance(error, DependencyError) else ExitCode.FAILED)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _end(f"{error.strerror}{where}", ExitCode.FAILED)


def _end(text: str, code: int) -> None:
    sys.stderr.write(f"{text}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
