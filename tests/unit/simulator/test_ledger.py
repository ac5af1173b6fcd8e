"""The count of calls by task and step."""

from __future__ import annotations

import pytest

from app.simulator import ledger as ledger_module
from app.simulator.ledger import Call, Ledger


def begin(ledger: Ledger, *, task_id: str = "t1", step: str = "", fingerprint: str = "f1") -> Call:
    return ledger.begin(
        provider="openai",
        endpoint="chat.completions",
        model="m",
        task_id=task_id,
        request_id="r1",
        step=step,
        fingerprint=fingerprint,
    )


def test_calls_are_counted_by_task_and_step() -> None:
    ledger = Ledger()
    ledger.finish(begin(ledger, step="plan#1"), "ok", input_tokens=10, output_tokens=5)
    ledger.finish(begin(ledger, step="write#1"), "down")
    report = ledger.of_task("t1")
    assert report["calls"] == 2
    assert report["by_step"] == {"plan#1": 1, "write#1": 1}
    assert report["by_outcome"] == {"ok": 1, "down": 1}
    assert (report["input_tokens"], report["output_tokens"]) == (10, 5)
    assert report["entries"][0]["request_id"] == "r1"


def test_unknown_task_has_no_calls() -> None:
    assert Ledger().of_task("nobody")["calls"] == 0


def test_first_outcome_counts() -> None:
    ledger = Ledger()
    call = begin(ledger)
    ledger.finish(call, "reset")
    ledger.finish(call, "ok")
    assert ledger.summary()["by_outcome"] == {"reset": 1}


@pytest.mark.parametrize(
    ("steps", "fingerprints", "outcomes", "repeated"),
    [
        (("a", "a"), ("1", "2"), ("ok", "ok"), ["t1"]),
        (("a", "b"), ("1", "1"), ("ok", "ok"), []),
        (("", ""), ("1", "1"), ("ok", "ok"), ["t1"]),
        (("", ""), ("1", "1"), ("down", "ok"), []),
    ],
)
def test_work_that_was_paid_twice_is_told(
    steps: tuple[str, str], fingerprints: tuple[str, str], outcomes: tuple[str, str], repeated: list[str]
) -> None:
    ledger = Ledger()
    for step, fingerprint, outcome in zip(steps, fingerprints, outcomes, strict=True):
        ledger.finish(begin(ledger, step=step, fingerprint=fingerprint), outcome)
    assert ledger.summary()["repeated"] == repeated


def test_oldest_tasks_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "TASK_LIMIT", 2)
    ledger = Ledger()
    for task_id in ("a", "b", "c"):
        begin(ledger, task_id=task_id)
    assert list(ledger.summary()["tasks"]) == ["b", "c"]
    assert ledger.summary()["calls"] == 3


def test_clear_forgets_everything() -> None:
    ledger = Ledger()
    ledger.finish(begin(ledger), "ok", input_tokens=1)
    ledger.clear()
    assert ledger.summary()["calls"] == ledger.summary()["input_tokens"] == 0
    assert ledger.summary()["tasks"] == {}
