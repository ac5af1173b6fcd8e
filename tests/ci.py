"""A pytest plugin for CI (`CI=true`): it fails skipped tests, and tells a story that failed once more.

A skipped test fails, so that no check is missing unnoticed; expected failures (`xfail`) stay as they are. The stories
of real processes that are killed, and those on a cluster, depend on the time that a machine has for them. One that
fails is told again; if it passes then, the table at the end of the run lists it as flaky with the reason of its first
failure, and it is to be mended before anything else. If it fails again, its first failure is shown as well, because the
second one may only follow from it. `-p tests.ci` in pyproject.toml loads the plugin.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

import pytest

STORIES = ("tests/chaos/", "tests/cluster/", "tests/e2e/")
_REASON_CHARACTERS = 300


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    # pytest reports an expected failure as skipped, with the attribute `wasxfail`.
    if not _in_ci() or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} was skipped, which CI does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Has the stories told once more if they fail, by pytest-rerunfailures."""
    for item in items if _in_ci() else ():
        if item.nodeid.startswith(STORIES):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the stories that passed at their second try only, and shows the first failure of those that did not."""
    passed = {report.nodeid for report in terminalreporter.getreports("passed")}
    repeated: Sequence[pytest.TestReport] = terminalreporter.getreports("rerun")
    flaky = [report for report in repeated if report.nodeid in passed]
    if flaky:
        terminalreporter.section("flaky: passed at the second try; mend these first")
    for report in flaky:
        terminalreporter.line(f"{report.nodeid}\n    {_reason(report)}")
        _show_state(terminalreporter, report)
    for report in repeated:
        if report.nodeid not in passed:
            terminalreporter.section(f"first failure of {report.nodeid}")
            terminalreporter.line(report.longreprtext)
            _show_state(terminalreporter, report)


def _show_state(terminalreporter: pytest.TerminalReporter, report: pytest.TestReport) -> None:
    for title, text in report.sections:
        if not title.startswith("Captured"):  # the state of the system, which pytest shows of failed tests only
            terminalreporter.line(f"--- {title}\n{text}")


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return " ".join(text.split())[:_REASON_CHARACTERS]
