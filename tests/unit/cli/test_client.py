"""The REST client against a small real server: problems become one kind of error, waiting ends with the task."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.cli.client import DEFAULT_API, ApiClient, ApiFailed, find_api
from app.cli.embedded.free_ports import free_ports
from app.cli.embedded.state import StackStatus, StateFolder

Answer = tuple[int, dict[str, str], object]


class _ScriptedServer(HTTPServer):
    """A server that gives its answers one after the other and repeats the last; `asked` keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _ScriptedServer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answers[0]
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Logs nothing: a test needs no access log."""


@pytest.fixture
def server() -> Iterator[_ScriptedServer]:
    server = _ScriptedServer()
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_problem_becomes_an_error_with_its_code_and_fields(server: _ScriptedServer) -> None:
    problem = {
        "detail": "1 field is wrong.",
        "code": "INVALID_REQUEST",
        "errors": [{"field": "task", "message": "blank"}],
    }
    server.answers = [(422, {}, problem)]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed, match="task: blank") as failure:
        client.submit({"task": ""})
    assert failure.value.code == "INVALID_REQUEST"


def test_answer_of_another_server_is_told_apart(server: _ScriptedServer) -> None:
    server.answers = [(404, {}, "<html>not ours</html>")]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed, match="is this the API's address"):
        client.get("x")


def test_missing_server_gives_advice() -> None:
    with (
        ApiClient(f"http://127.0.0.1:{next(free_ports(1))}") as client,
        pytest.raises(ApiFailed, match="orchestrator up"),
    ):
        client.get("x")


def test_key_is_sent_as_bearer(server: _ScriptedServer) -> None:
    server.answers = [(200, {}, {})]
    with ApiClient(server.url, key="ao_word") as client:
        client.cancel("x")
    assert server.asked == [("POST", "/v1/tasks/x/cancel", "Bearer ao_word")]


def test_follow_yields_changes_only_and_ends_with_the_task(server: _ScriptedServer) -> None:
    queued, done = ({"status": status, "updated_at": status} for status in ("queued", "completed"))
    server.answers = [(200, {}, queued), (200, {}, queued), (200, {}, done)]
    with ApiClient(server.url) as client:
        assert [task["status"] for task in client.follow("x")] == ["queued", "completed"]
    assert len(server.asked) == 3


def test_reading_too_often_waits_and_reads_again(server: _ScriptedServer) -> None:
    server.answers = [(429, {"Retry-After": "0"}, {}), (200, {}, {"status": "queued"})]
    with ApiClient(server.url) as client:
        assert client.get("x") == {"status": "queued"}


def test_address_is_the_asked_one_then_the_running_stacks_then_the_default(tmp_path: Path) -> None:
    assert find_api("http://api.example/", tmp_path) == "http://api.example"
    assert find_api(None, tmp_path) == DEFAULT_API
    folder = StateFolder(tmp_path)
    with folder.lock() or pytest.fail("the lock is free"):
        folder.write_status(StackStatus(supervisor_pid=1, phase="running", api_url="http://127.0.0.1:9"))
        assert find_api(None, tmp_path) == "http://127.0.0.1:9"
