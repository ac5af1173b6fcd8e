"""`python -m agent_operator.simulation`: plays traces against a policy, and prints waits, costs and interruptions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from agent_operator.autoscaler.policy import Policy, WrongPolicy, pairs
from agent_operator.simulation.model import Outcome, Simulation
from agent_operator.simulation.traces import TRACES

HEADER = (
    "| trace | tasks | finished | interrupted | wait p50 | p95 | longest | pod hours | most pods | changes |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        policy = Policy.of(pairs(" ".join(chosen.policy)))
    except WrongPolicy as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{HEADER}\n")
    for name in chosen.trace or TRACES:
        simulation = Simulation(
            TRACES[name], policy, slots_per_pod=chosen.slots, seed=chosen.seed, drains=not chosen.without_drains
        )
        sys.stdout.write(f"{_line(name, simulation.run())}\n")
        if chosen.explain:
            for plan in simulation.plans:
                sys.stdout.write(f"  {plan.reason}: {plan.explanation}\n")
    return 0


def _line(name: str, outcome: Outcome) -> str:
    return (
        f"| {name} | {outcome.tasks} | {outcome.finished} | {outcome.interrupted} | {outcome.wait_p50_seconds:.0f} s | "
        f"{outcome.wait_p95_seconds:.0f} s | {outcome.wait_longest_seconds:.0f} s | {outcome.pod_seconds / 3600:.1f} | "
        f"{outcome.most_pods} | {outcome.changes} |"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agent_operator.simulation", description=__doc__)
    parser.add_argument("policy", nargs="*", metavar="NAME=VALUE", help="settings of the policy, e.g. max_replicas=20")
    parser.add_argument(
        "--trace", choices=sorted(TRACES), action="append", help="play only this trace; may be repeated"
    )
    parser.add_argument("--slots", type=int, default=8, help="tasks that a worker runs at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-drains", action="store_true", help="remove pods at once, as other autoscalers do")
    parser.add_argument("--explain", action="store_true", help="print each new explanation")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
