"""The programs that tests build: two test processes that need the same one at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.child_process import ended, start_process
from tests.support.toolchain import BUILD
from tests.support.waiting import wait_for

# It stands in for a Go program: it records that it is built, and waits for the test.
TOOL = """
echo built >>"$TEST_BUILDS"
read go <"$TEST_GATE"
echo program >"$1/program"
"""


def _waits_for_the_lock(pid: int) -> bool:
    try:
        return [child.name() for child in psutil.Process(pid).children()] == ["flock"]
    except psutil.NoSuchProcess:  # the shell runs many short-lived programs before
        return False


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock, which Linux has")
def test_a_tool_that_two_processes_need_is_built_once(tmp_path: Path) -> None:
    tools, programs, gate, builds = (tmp_path / name for name in ("tools", "bin", "gate", "builds"))
    (tools / "thing").mkdir(parents=True)
    shutil.copy(BUILD, tools / "build.sh")
    (tools / "thing" / "build.sh").write_text(TOOL)
    programs.mkdir()
    (programs / "go").write_text("#!/bin/sh\necho any\n")
    (programs / "go").chmod(0o755)
    os.mkfifo(gate)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "AGENT_CACHE_DIR": str(tmp_path / "cache"),
        "TEST_BUILDS": str(builds),
        "TEST_GATE": str(gate),
    }

    def build(name: str) -> subprocess.Popen[bytes]:
        command = ["/bin/sh", str(tools / "build.sh"), "thing"]
        return start_process(command, environment=environment, log=tmp_path / name)

    with ended(build("first")) as first:
        wait_for(builds.exists, what="the first one builds")
        with ended(build("second")) as second:
            wait_for(lambda: _waits_for_the_lock(second.pid), what="the second one waits")
            gate.write_text("go\n")
            assert (first.wait(timeout=30), second.wait(timeout=30)) == (0, 0)

    made = (tmp_path / "first").read_text()
    assert (tmp_path / "second").read_text() == made
    assert (Path(made.strip()) / "program").exists()
    assert builds.read_text() == "built\n"
