"""The whole stack behind the real command: tasks, keys, restarts, an external store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.integration.cli.command import COMMAND, Shell, clean_environment, stack_up
from tests.integration.cli.stacks import is_gone
from tests.support.child_process import ended
from tests.support.servers import broker_server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with stack_up(Shell(tmp_path_factory.mktemp("stack"))) as shell:
        yield shell


def _process(shell: Shell, kind: str) -> dict[str, object]:
    return dict(next(process for process in shell.processes() if process["kind"] == kind))


def test_status_names_every_process_with_its_address(shell: Shell) -> None:
    processes = shell.processes()
    assert [process["kind"] for process in processes] == ["valkey", "mongo", "simulator", "api", "worker"]
    assert all(process["ready"] and process["pid"] and process["url"] for process in processes)
    assert processes[1]["program"] in ("secantusd-py", "secantusd-rs", "mongod")
    assert f"mongo is {processes[1]['program']}." in shell.ok("status")


def test_status_shows_the_queue_and_each_worker(shell: Shell) -> None:
    wait_for(lambda: bool(shell.json("status")["system"]["workers"]), what="a presence of the worker")

    (worker,) = shell.json("status")["system"]["workers"]
    shown = shell.ok("status")

    assert (worker["name"], worker["condition"], worker["paused"]) == ("worker-1", "ok", False)
    assert worker["memory_mb"] > 0
    assert "0 tasks wait; 0 run at " in shown
    assert shown.splitlines()[-2].split()[:2] == ["worker-1", "ok"]


def test_models_are_those_of_the_stack(shell: Shell) -> None:
    document = shell.json("models")
    first = document["roles"]["router"]["hops"][0]

    assert document["settings_from"] == "stack"
    assert [hop["can_be_asked"] for role in document["roles"].values() for hop in role["hops"]] == [True] * 12
    assert (first["name"], first["price"]["source"]) == ("openai:sim-router", "simulator-1")
    assert first["dialect"] is not None, "the Redis of the stack answers"
    assert "Models of the stack in .agent-orchestrator" in shell.ok("models")


def test_status_reports_an_api_that_does_not_answer(shell: Shell) -> None:
    done = shell.run("status", "--api", "http://127.0.0.1:9")

    assert done.returncode == 4
    assert "No answer from http://127.0.0.1:9" in done.stdout


def test_submitted_task_is_answered_and_shown(shell: Shell) -> None:
    answer = shell.json("submit", "Write a Python function that reverses a string", "--wait")
    assert answer["status"] == "completed"
    assert answer["selected_agent"] == "CodeAgent"
    listed = shell.run("list")
    assert answer["task_id"] in listed.stdout
    assert "simulates openai" in listed.stderr
    assert "reverses a string" in shell.ok("get", answer["task_id"])


def test_task_that_fails_gives_exit_code_1(shell: Shell) -> None:
    done = shell.run("submit", "Bake me a chocolate cake", "--wait")
    assert done.returncode == 1
    assert "UNKNOWN_TASK_TYPE" in done.stdout


def test_watch_prints_each_event_and_cancel_leaves_a_finished_task(shell: Shell) -> None:
    task_id = shell.json("submit", "Write a short text about bees")["task_id"]
    watched = shell.run("watch", task_id)
    assert watched.returncode == 0
    assert watched.stderr.index("queued") < watched.stderr.index("claimed") < watched.stderr.index("completed")
    assert task_id in watched.stdout
    assert shell.json("cancel", task_id)["status"] == "completed"


def test_the_beginning_of_an_id_stands_for_it(shell: Shell) -> None:
    task_id = shell.json("submit", "Write a short text about hares", "--wait")["task_id"]
    assert shell.json("get", task_id[:13])["task_id"] == task_id
    assert shell.json("cancel", task_id[:13])["task_id"] == task_id
    assert task_id in shell.ok("watch", task_id[:13])
    done = shell.run("get", "0" * 12)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No task's id begins with 000000000000" in done.stderr


def test_agents_are_listed_with_what_they_are_for(shell: Shell) -> None:
    names = {card["name"] for card in shell.json("agents")["items"]}
    assert names == {"ContentAgent", "CodeAgent"}
    shown = shell.ok("agents")
    assert all(name in shown for name in names)
    assert "kind code, version" in shown


def test_runs_show_each_step_with_its_models(shell: Shell) -> None:
    task_id = shell.json("submit", "Write a short text about voles", "--wait")["task_id"]
    steps = [run["step"] for run in shell.json("runs", task_id)["items"]]
    shown = shell.ok("runs", task_id[:13])
    assert "classify_task#1" in steps
    assert all(step in shown for step in steps)
    assert "sim-router" in shown


def test_a_conversation_goes_on_and_is_shown_and_erased(shell: Shell) -> None:
    first = shell.json("submit", "Write a short text about newts", "--wait")
    session_id = first["session_id"]
    second = shell.json("submit", "Make it shorter", "--session", session_id, "--wait")

    assert shell.json("sessions", "get", session_id)["task_ids"] == [first["task_id"], second["task_id"]]
    shown = shell.ok("sessions", "get", session_id)
    assert shown.index("about newts") < shown.index("Make it shorter")
    assert shell.run("sessions", "erase", session_id).returncode == 1, "nobody has confirmed it"
    assert "is erased" in shell.ok("sessions", "erase", session_id, "--yes")
    gone = shell.run("get", first["task_id"])
    assert (gone.returncode, "TASK_ERASED" in gone.stderr) == (2, True)


def test_a_mistyped_session_starts_no_other_conversation(shell: Shell) -> None:
    done = shell.run("submit", "Go on", "--session", "00000000-0000-4000-8000-000000000000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SESSION_NOT_FOUND" in done.stderr


def test_logs_are_lines_of_text(shell: Shell) -> None:
    shown = shell.ok("logs", "supervisor", "-n", "50")
    assert "stack_running" in shown
    assert "{" not in shown
    assert "==> worker-1 <==" in shell.ok("logs")
    assert shell.run("logs", "nobody").returncode == 2


def test_text_comes_from_a_file_or_standard_input_and_the_answer_alone_goes_out(shell: Shell) -> None:
    (shell.folder / "task.txt").write_text("Write a Python function that reverses a string")
    waited = shell.run("submit", "@task.txt", "--wait", "--budget", "1", "--metadata", "a=b")
    assert waited.returncode == 0, waited.stderr
    task_id = waited.stderr.split()[1]

    task = shell.json("get", task_id)
    assert (task["task"], task["metadata"]) == ("Write a Python function that reverses a string", {"a": "b"})
    assert shell.ok("get", task_id, "--raw") == task["result"]["raw_output"]
    assert "this stack simulates openai" in waited.stdout
    longest = max(task["result"]["raw_output"].splitlines(), key=len)
    assert longest in waited.stdout, "output that goes into a file is not wrapped"
    assert shell.run("submit", "@missing.txt").returncode == 2
    assert shell.run("submit", "x", "--metadata", "a").returncode == 2


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("{cli} list --json | true", 141, ""),
        ("{cli} list --json > /dev/full", 1, "No space left"),
        ("{cli} nonsense", 2, "nonsense"),
        ("{cli} list --limit 0", 2, "limit"),
        ("{cli} --version", 0, ""),
        ("{cli} list -h", 0, ""),
    ],
)
def test_every_end_has_its_exit_code_and_no_traceback(shell: Shell, command: str, code: int, message: str) -> None:
    line = f"set -o pipefail; {command.format(cli=COMMAND)}"
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/bash", "-c", line],
        cwd=shell.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_state_never_reaches_another_stack(shell: Shell) -> None:
    for command in (["submit", "x"], ["list"], ["get", "x"], ["watch", "x"], ["cancel", "x"], ["keys", "list"]):
        done = shell.run(*command, "--state", "elsewhere")
        assert done.returncode == 4, command
        assert f" {COMMAND} up --state elsewhere" in done.stderr, "a hint works when it is pasted"
    (shell.folder / "a-file").write_text("")
    done = shell.run("up", "--state", "a-file")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_same_idempotency_key_gives_the_same_task(shell: Shell) -> None:
    command = ("submit", "Write a short text about owls", "--idempotency-key", "owls")
    first = shell.json(*command, "--wait")["task_id"]
    again = shell.ok(*command)
    assert "This task was submitted before. It is completed." in again
    assert first in again


def test_unknown_task_is_explained_on_standard_error(shell: Shell) -> None:
    done = shell.run("get", "00000000-0000-4000-8000-000000000000")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "TASK_NOT_FOUND" in done.stderr


def test_keys_are_made_listed_and_revoked(shell: Shell) -> None:
    created = shell.run("keys", "create", "reader", "--max-running", "5", "--weight", "0.5")
    assert created.stdout.startswith("ao_")
    database, key_line, *_ = created.stderr.splitlines()
    assert database.startswith("Database: agent_orchestrator at 127.0.0.1:")
    key_id = key_line.split()[1]
    listed = shell.ok("keys", "list")
    assert key_id in listed
    assert "running 5" in listed
    assert key_id in {key["id"] for key in shell.json("keys", "list")["items"]}
    refused = shell.run("keys", "create", "reader", "--max-running", "0")
    assert refused.returncode == 2
    assert "max_running must be at least 1" in refused.stderr
    shell.ok("keys", "revoke", key_id)
    refused = shell.run("list", "--key", created.stdout.strip())
    assert refused.returncode == 2
    assert "UNAUTHENTICATED" in refused.stderr


def test_second_up_finds_the_running_stack(shell: Shell) -> None:
    assert "Already running" in shell.ok("up", "--detach")


@pytest.mark.parametrize("kind", ["worker", "api"])
def test_killed_process_is_back_and_works(shell: Shell, kind: str) -> None:
    before = _process(shell, kind)
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    wait_for(
        lambda: (now := _process(shell, kind))["restarts"] == 1 and now["ready"] is True, what=f"the {kind} is back"
    )
    assert shell.json("submit", f"Write a text about a {kind}", "--wait")["status"] == "completed"


def test_detached_up_drops_its_supervisor_without_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    shell = Shell(tmp_path_factory.mktemp("strict"), {"PYTHONWARNINGS": "default::ResourceWarning"})
    try:
        done = shell.run("up", "--detach")
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        shell.ok("down")


def test_taken_port_is_refused_with_advice(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    port = str(_process(shell, "api")["url"]).rsplit(":", 1)[1]
    done = Shell(tmp_path_factory.mktemp("other")).run("up", "--detach", "--port", port)
    assert done.returncode == 1
    assert "--port" in done.stderr


def test_a_mongod_that_does_not_start_is_named_and_the_embedded_database_is_used(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    broken = programs / "mongod"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "db version v8.0.4" || exit 132\n')
    broken.chmod(0o755)
    shell = Shell(tmp_path_factory.mktemp("broken"), {"PATH": f"{programs}:/usr/bin:/bin"})
    try:
        done = shell.run("up", "--detach")
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{broken} is not used as the database: it does not start (exit code 132; see ")
        assert line.endswith("secantusd-py is used instead.")
        assert _process(shell, "mongo")["program"] == "secantusd-py"
    finally:
        shell.ok("down")


def test_named_redis_is_used_and_the_rest_embedded_beside_another_stack(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with broker_server() as server:
        folder = tmp_path_factory.mktemp("named")
        with stack_up(Shell(folder, {"REDIS_URL": server.url})) as other:
            assert "valkey" not in [process["kind"] for process in other.processes()]
            assert other.json("submit", "Write a short text about foxes", "--wait")["status"] == "completed"
            with Redis.from_url(server.url) as client:
                assert client.dbsize() > 0
            mine = {task["task_id"] for task in shell.json("list")["items"]}
            theirs = {task["task_id"] for task in other.json("list")["items"]}
            assert theirs
            assert mine.isdisjoint(theirs)


def test_killed_up_leaves_nothing_behind_and_the_task_is_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    shell = Shell(tmp_path_factory.mktemp("foreground"))
    with ended(shell.start("up")):
        wait_for(lambda: "Agent Orchestrator is ready" in shell.output, what="it is ready")
        task_id = shell.json("submit", "Write a short text about moss", "--wait")["task_id"]
        pids = [int(process["pid"]) for process in shell.processes()]
    wait_for(lambda: all(is_gone(pid) for pid in pids), what="all processes are gone")
    nothing = shell.run("status", "--json")
    assert (nothing.returncode, json.loads(nothing.stdout)["processes"]) == (4, [])
    with stack_up(shell):
        assert shell.json("get", task_id)["status"] == "completed"
