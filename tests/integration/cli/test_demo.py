"""`agent-orchestrator demo` without a key: every scene ends as promised, and the screen names what is simulated."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cli.command import COMMAND, Shell


def test_demo_shows_every_scene_and_stops_what_it_started(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    screen = shell.ok("demo")
    assert "SIMULATOR" in screen
    assert "✗" not in screen
    assert screen.count("✓") == 7
    for expected in ("cited sources", "code: python", "UNKNOWN_TASK_TYPE", "LLM_UNAVAILABLE", "What it took"):
        assert expected in screen
    assert f"Start it for yourself: {COMMAND} up\n" in screen, "a hint works when it is pasted"
    assert shell.run("status").returncode == 4
    assert list(tmp_path.iterdir()) == [], "the demo leaves nothing behind"
