"""The REST client against a small real server: problems become one kind of error, waiting ends with the task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.cli import client as client_module
from app.cli.client import ApiClient, ApiFailed
from app.cli.embedded.free_ports import free_ports
from app.cli.failure import CommandRefused, ExitCode
from tests.support.scripted_api import ScriptedApi, scripted_api
from tests.unit.cli.calls import called_as


@pytest.fixture
def server() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        yield server


def test_problem_becomes_an_error_with_its_code_and_fields(server: ScriptedApi) -> None:
    problem = {
        "detail": "1 field is wrong.",
        "code": "INVALID_REQUEST",
        "errors": [{"field": "task", "message": "blank"}],
    }
    server.answers = [(422, {}, problem)]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed, match="task: blank") as failure:
        client.submit({"task": ""})
    assert failure.value.code == "INVALID_REQUEST"


def test_a_sentence_that_a_problem_repeats_for_its_field_is_printed_once(server: ScriptedApi) -> None:
    sentence = "There is no agent Nobody. Name one of: CodeAgent."
    problem = {"detail": sentence, "code": "UNKNOWN_AGENT", "errors": [{"field": "agent", "message": sentence}]}
    server.answers = [(422, {}, problem)]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed) as failure:
        client.submit({"task": "x", "agent": "Nobody"})
    assert str(failure.value) == f"{sentence} (UNKNOWN_AGENT)"


def test_answer_of_another_server_is_told_apart(server: ScriptedApi) -> None:
    server.answers = [(404, {}, "<html>not ours</html>")]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed, match="is this the API's address"):
        client.get("x")


def test_missing_server_gives_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    called_as(monkeypatch, "./agent-orchestrator")
    with (
        ApiClient(f"http://127.0.0.1:{next(free_ports(1))}") as client,
        pytest.raises(ApiFailed, match=r"with: ./agent-orchestrator up,"),
    ):
        client.get("x")


def test_a_command_that_a_problem_names_begins_as_this_one_was_called(
    server: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_as(monkeypatch, "./agent-orchestrator")
    detail = "The API key is not valid; create one with `agent-orchestrator keys create NAME`."
    server.answers = [(401, {}, {"detail": detail, "code": "UNAUTHENTICATED"})]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed, match=r"`\./agent-orchestrator keys create NAME`"):
        client.get("x")


def test_key_is_sent_as_bearer(server: ScriptedApi) -> None:
    server.answers = [(200, {}, {})]
    with ApiClient(server.url, key="ao_word") as client:
        client.cancel("x")
    assert server.asked == [("POST", "/v1/tasks/x/cancel", "Bearer ao_word")]


def test_follow_yields_changes_only_and_ends_with_the_task(server: ScriptedApi) -> None:
    queued, done = ({"status": status, "updated_at": status} for status in ("queued", "completed"))
    server.answers = [(200, {}, queued), (200, {}, queued), (200, {}, done)]
    with ApiClient(server.url) as client:
        assert [task["status"] for task in client.follow("x")] == ["queued", "completed"]
    assert len(server.asked) == 3


def test_reading_too_often_waits_and_reads_again(server: ScriptedApi) -> None:
    server.answers = [(429, {"Retry-After": "0"}, {}), (200, {}, {"status": "queued"})]
    with ApiClient(server.url) as client:
        assert client.get("x") == {"status": "queued"}


def test_follow_waits_for_an_api_that_is_away_and_tells_it_once(
    server: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LONGEST_POLL_SECONDS", 0.04)
    queued, done = ({"status": status, "updated_at": status} for status in ("queued", "completed"))
    away = {"detail": "MongoDB did not answer", "code": "STORE_UNAVAILABLE"}
    server.answers = [(200, {}, queued), (503, {}, away), (502, {}, "<html>"), (200, {}, done)]
    told: list[str] = []
    with ApiClient(server.url) as client:
        tasks = list(client.follow("x", on_outage=lambda: told.append("no answer")))
    assert [task["status"] for task in tasks] == ["queued", "completed"]
    assert told == ["no answer"]


def test_follow_gives_up_on_an_api_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_POLL_SECONDS", 0.04)
    monkeypatch.setattr(client_module, "OUTAGE_SECONDS", 0.1)
    with ApiClient(f"http://127.0.0.1:{next(free_ports(1))}") as client, pytest.raises(ApiFailed) as failure:
        list(client.follow("x", known=True))
    assert failure.value.exit_code is ExitCode.UNREACHABLE


def test_follow_does_not_wait_for_an_api_that_never_answered() -> None:
    told: list[str] = []
    with ApiClient(f"http://127.0.0.1:{next(free_ports(1))}") as client, pytest.raises(ApiFailed):
        list(client.follow("x", on_outage=lambda: told.append("no answer")))
    assert told == []


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, "TASK_NOT_FOUND", ExitCode.REFUSED),
        (422, "INVALID_REQUEST", ExitCode.REFUSED),
        (500, "INTERNAL_ERROR", ExitCode.FAILED),
        (503, "STORE_UNAVAILABLE", ExitCode.UNREACHABLE),
    ],
)
def test_the_exit_code_tells_the_kind_of_a_refusal(
    server: ScriptedApi, status: int, code: str, exit_code: ExitCode
) -> None:
    server.answers = [(status, {}, {"detail": "No.", "code": code})]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed) as failure:
        client.submit({"task": "x"})
    assert failure.value.exit_code is exit_code


WHOLE_ID = "0b6a3f52-4f0d-4a52-8a13-0e5a2b0a9f10"
OTHER_ID = "0b6a3f99-4f0d-4a52-8a13-0e5a2b0a9f10"


def summary(task_id: str) -> dict[str, str]:
    return {"task_id": task_id, "status": "completed", "created_at": "2026-01-01T00:00:00Z"}


def test_a_beginning_that_one_id_has_stands_for_it(server: ScriptedApi) -> None:
    server.answers = [(200, {}, {"items": [summary(WHOLE_ID)], "next_cursor": None})]
    with ApiClient(server.url) as client:
        assert client.find_id("0b6a3f52-4") == WHOLE_ID
    assert server.asked[0][1] == "/v1/tasks?id_prefix=0b6a3f52-4&limit=5"


def test_a_whole_id_is_not_looked_for(server: ScriptedApi) -> None:
    with ApiClient(server.url) as client:
        assert client.find_id(WHOLE_ID) == WHOLE_ID
    assert server.asked == []


def test_a_beginning_that_several_ids_have_is_refused_with_them(server: ScriptedApi) -> None:
    server.answers = [(200, {}, {"items": [summary(WHOLE_ID), summary(OTHER_ID)], "next_cursor": "more"})]
    with ApiClient(server.url) as client, pytest.raises(CommandRefused, match="several tasks begin with") as refused:
        client.find_id("0b6a")
    _, first, second, last = str(refused.value).splitlines()
    assert (first.split()[0], second.split()[0], last.strip()) == (WHOLE_ID, OTHER_ID, "…")


def test_a_beginning_that_no_id_has_is_refused(server: ScriptedApi) -> None:
    server.answers = [(200, {}, {"items": [], "next_cursor": None})]
    with ApiClient(server.url) as client, pytest.raises(CommandRefused, match="No task's id begins with 0b6a"):
        client.find_id("0b6a")


@pytest.mark.parametrize("text", ["0b6", "", "owls", "../system/metrics", "0" * 37])
def test_a_text_that_begins_no_id_is_refused_without_a_request(server: ScriptedApi, text: str) -> None:
    with ApiClient(server.url) as client, pytest.raises(CommandRefused, match="is no task's id"):
        client.find_id(text)
    assert server.asked == []


def test_an_id_reaches_no_other_path(server: ScriptedApi) -> None:
    server.answers = [(404, {}, {"detail": "No.", "code": "TASK_NOT_FOUND"})]
    with ApiClient(server.url) as client, pytest.raises(ApiFailed):
        client.get("../system/metrics")
    assert [path for _, path, _ in server.asked] == ["/v1/tasks/..%2Fsystem%2Fmetrics"]


@pytest.mark.parametrize("key", ["k\u00e9y", "two\nlines", "\udcff"])
def test_a_key_that_no_header_can_hold_is_refused(server: ScriptedApi, key: str) -> None:
    with pytest.raises(CommandRefused), ApiClient(server.url, key=key) as client:
        client.get("x")


@pytest.mark.parametrize("key", ["\u00e9", "two\nlines", "\udcff"])
def test_an_idempotency_key_that_no_header_can_hold_is_refused(server: ScriptedApi, key: str) -> None:
    with ApiClient(server.url) as client, pytest.raises(CommandRefused, match="the idempotency key has a character"):
        client.submit({"task": "x"}, idempotency_key=key)
    assert server.asked == []


def test_a_text_that_is_no_utf8_is_refused(server: ScriptedApi) -> None:
    with ApiClient(server.url) as client:
        with pytest.raises(CommandRefused, match="UTF-8"):
            client.submit({"task": "\udcff"})
        with pytest.raises(CommandRefused, match="UTF-8"):
            client.list_tasks({"text": "\udcff"})
