"""`python -m tests.soak`: runs a soak to its end, or resumes one that was broken off."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.soak.evidence import HEADER, RULE, line, page
from tests.soak.plan import Progress, SoakPlan
from tests.soak.stores import embedded_store, scripted_store
from tests.soak.wave import finish_what_is_left, let_answers_be_large, run_wave
from tests.support.servers import Server
from tests.support.stack import Plan, running_stack

WORKERS = 2
SETTINGS = {
    "MONGO_DB_NAME": "soak",
    "AGENT_WORKER_CONCURRENCY": "32",
    "AGENT_LEASE_SECONDS": "5",
    "AGENT_BREAKER_FAILURES": "1000",
}


def main(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    signal.signal(
        signal.SIGTERM, lambda number, _frame: sys.exit(128 + number)
    )  # a normal exit, which stops the processes that were started
    plan = SoakPlan(
        tasks=chosen.tasks,
        waves=chosen.waves,
        kills={
            "worker": chosen.worker_kills,
            "broker": chosen.broker_kills,
            "store": chosen.store_kills,
            "api": chosen.api_kills,
        },
        fills=chosen.fills,
        fill_seconds=chosen.fill_seconds,
        large_every=chosen.large_every,
        seed=chosen.seed,
    )
    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    store = scripted_store(chosen.store) if chosen.store else embedded_store(folder / "store")
    with store as server:
        progress = soak(plan, server, folder)
    report = page(progress)
    (folder / "evidence.md").write_text(report)
    print(f"\n{report}\nWritten to {folder / 'evidence.md'}.")
    return 1 if progress.total("violations") else 0


def soak(plan: SoakPlan, store: Server, folder: Path) -> Progress:
    """Runs the waves that are missing in the folder's progress file, and prints a line for each."""
    state = folder / "progress.json"
    progress = Progress.load(state, plan)
    with running_stack(Plan(workers=WORKERS, settings=SETTINGS), store=store) as stack:
        let_answers_be_large(stack)
        if left := finish_what_is_left(stack):
            print(f"{left} tasks of a wave that was broken off have ended now.\n", flush=True)
        print("\n".join([HEADER, RULE, *map(line, progress.waves)]), flush=True)
        for number in progress.remaining():
            progress.waves.append(run_wave(stack, plan, number))
            progress.save(state)
            print(line(progress.waves[-1]), flush=True)
    return progress


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--waves", type=int, default=40)
    parser.add_argument("--worker-kills", type=int, default=200)
    parser.add_argument("--broker-kills", type=int, default=20)
    parser.add_argument("--store-kills", type=int, default=10)
    parser.add_argument("--api-kills", type=int, default=10)
    parser.add_argument("--fills", type=int, default=10, help="how often Redis is full")
    parser.add_argument("--fill-seconds", type=float, default=20, help="how long it is full each time")
    parser.add_argument("--large-every", type=int, default=100, help="every such task has a result of 1 MiB")
    parser.add_argument("--seed", type=int, default=1, help="another one makes another soak")
    parser.add_argument("--folder", type=Path, default=Path(".soak"), help="keeps progress and evidence")
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
