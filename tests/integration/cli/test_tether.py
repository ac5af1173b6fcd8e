"""The tether on systems without a death signal: a watched pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from app.cli.embedded import tether
from tests.integration.cli.stacks import WAIT_SECONDS, is_gone
from tests.support.child_process import ended
from tests.support.waiting import wait_for

_TETHER = str(Path(tether.__file__))


def _watched(lifeline: int, script: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Starts a tether that runs the script. It is killed at the end of the block, if it still runs then."""
    command = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(lifeline), "--watch"]
    return ended(
        subprocess.Popen(  # noqa: S603 - a fixed command of this module
            [*command, sys.executable, "-c", script], pass_fds=(lifeline,)
        )
    )


def _only_child(process: subprocess.Popen[bytes]) -> int:
    children = psutil.Process(process.pid).children
    wait_for(lambda: len(children()) == 1, what="the command runs")
    return children()[0].pid


def test_closed_lifeline_kills_the_command() -> None:
    lifeline, held = os.pipe()
    with _watched(lifeline, "import signal; signal.pause()") as wrapper:
        command = _only_child(wrapper)
        os.close(held)
        assert wrapper.wait(timeout=WAIT_SECONDS) != 0
        assert is_gone(command)
    os.close(lifeline)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(number: signal.Signals) -> None:
    lifeline, held = os.pipe()
    with _watched(lifeline, "import signal; signal.signal(2, signal.SIG_DFL); signal.pause()") as wrapper:
        command = _only_child(wrapper)
        wrapper.send_signal(number)
        assert wrapper.wait(timeout=WAIT_SECONDS) != 0
        assert is_gone(command)
    os.close(held)
    os.close(lifeline)


def test_exit_code_is_the_commands() -> None:
    lifeline, held = os.pipe()
    with _watched(lifeline, "raise SystemExit(5)") as wrapper:
        assert wrapper.wait(timeout=WAIT_SECONDS) == 5
    os.close(held)
    os.close(lifeline)
