"""The protocol as a machine whose moves are time, crashes, stalls, lost and doubled tickets, and cancels.

A run stands for a worker's coroutine: it calls a model, records the step, and in the end completes. It may stop
heartbeating and go on later, as a stalled process does. What must hold in every order of moves: a task ends once and
stays so, epochs only grow, a recorded call is never made again, and when the trouble is over every task ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.domain.task import TERMINAL
from tests.protocol.store import LEASE_SECONDS, Broken, Grant, ProtocolStore

STEPS = ("classify", "write")
MOST_TASKS = 2
ROUNDS_TO_END = 40
_ANY = st.integers(0, 1_000)


@dataclass(eq=False)
class Run:
    """A coroutine with a claim. `called` is a step whose call was made and is not recorded yet."""

    grant: Grant
    renewed_at: int
    recorded: set[str]
    called: str | None = None

    @property
    def next_step(self) -> str | None:
        return next((step for step in STEPS if step not in self.recorded), None)


class ProtocolMachine(RuleBasedStateMachine):
    """`build` makes an empty store; with `broken` set to LEASE, runs forget to look at their lease."""

    build: Callable[[], ProtocolStore]
    broken: Broken | None = None

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).build()
        self.now = 0
        self.tasks: list[str] = []
        self.tickets: list[str] = []
        self.runs: list[Run] = []
        self.paid_and_recorded: set[tuple[str, str]] = set()
        self.ends: Counter[str] = Counter()
        self.ended_as: dict[str, str] = {}
        self.epochs: dict[str, int] = {}

    @precondition(lambda self: len(self.tasks) < MOST_TASKS)
    @rule()
    def submit(self) -> None:
        self.tasks.append(self.store.submit())

    @rule()
    def dispatch(self) -> None:
        self.tickets += self.store.release_waiting()

    @rule()
    def lose_all_tickets(self) -> None:
        self.tickets.clear()

    @precondition(lambda self: self.tasks)
    @rule(which=_ANY)
    def deliver_again(self, which: int) -> None:
        """A ticket for any task, wherever that stands: a redelivery, or one from another time."""
        self.tickets.append(self.tasks[which % len(self.tasks)])

    @rule()
    def repair(self) -> None:
        held = {*self.tickets, *(run.grant.task_id for run in self.runs)}
        self.tickets += self.store.redispatch_lost(held)

    @precondition(lambda self: self.tickets)
    @rule(which=_ANY)
    def take_ticket(self, which: int) -> None:
        grant = self.store.claim(self.tickets.pop(which % len(self.tickets)))
        if grant is not None:
            self.runs.append(Run(grant, renewed_at=self.now, recorded=set(grant.steps)))

    @precondition(lambda self: self.runs)
    @rule(which=_ANY, moves=st.integers(1, 5))
    def work(self, which: int, moves: int) -> None:
        """The next things that a run does."""
        run = self.runs[which % len(self.runs)]
        for _ in range(moves):
            if run in self.runs:
                self._go_on(run)

    def _go_on(self, run: Run) -> None:
        """Call, record, or complete."""
        if run.called is not None:
            self._record(run, run.called)
        elif run.next_step is not None:
            self._call(run, run.next_step)
        else:
            self._complete(run)

    def _call(self, run: Run, step: str) -> None:
        lapsed = self.now - run.renewed_at >= LEASE_SECONDS
        if lapsed and self.broken is not Broken.LEASE:
            return
        assert (run.grant.task_id, step) not in self.paid_and_recorded, "a recorded call was paid again"
        run.called = step

    def _record(self, run: Run, step: str) -> None:
        if self.store.record(run.grant, step):
            self.paid_and_recorded.add((run.grant.task_id, step))
            run.recorded.add(step)
            run.called = None
        else:
            self.runs.remove(run)

    def _complete(self, run: Run) -> None:
        if self.store.complete(run.grant):
            self.ends[run.grant.task_id] += 1
        self.runs.remove(run)

    @precondition(lambda self: self.runs)
    @rule(which=_ANY)
    def heartbeat(self, which: int) -> None:
        run = self.runs[which % len(self.runs)]
        if self.store.heartbeat(run.grant):
            run.renewed_at = self.now
        else:
            self.runs.remove(run)

    @precondition(lambda self: self.runs)
    @rule(which=_ANY)
    def crash(self, which: int) -> None:
        self.runs.pop(which % len(self.runs))

    @rule(seconds=st.sampled_from([1, 6, 15, LEASE_SECONDS + 1]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.store.advance(seconds)

    @rule()
    def reap(self) -> None:
        self.store.reap()

    @rule()
    def outlast_all_leases(self) -> None:
        """Everybody stalls; what runs is given to others, and what stalled may wake up."""
        self.pass_time(LEASE_SECONDS + 1)
        self.store.reap()
        self.tickets += self.store.release_waiting()

    @precondition(lambda self: self.tasks)
    @rule(which=_ANY)
    def cancel(self, which: int) -> None:
        self.store.cancel(self.tasks[which % len(self.tasks)])

    @invariant()
    def a_task_ends_once_and_stays_so(self) -> None:
        assert all(count == 1 for count in self.ends.values()), "a task was committed twice"
        for task_id in self.tasks:
            seen = self.store.seen(task_id)
            assert seen.epoch >= self.epochs.get(task_id, 0), "an epoch went back"
            self.epochs[task_id] = seen.epoch
            ended_as = self.ended_as.get(task_id)
            assert ended_as in (None, seen.status), "a finished task changed"
            if seen.status in TERMINAL:
                self.ended_as[task_id] = seen.status

    def teardown(self) -> None:
        """The trouble is over: workers heartbeat and work, the leader does its rounds, and everything ends."""
        for _ in range(ROUNDS_TO_END):
            if all(self.store.seen(task_id).status in TERMINAL for task_id in self.tasks):
                break
            self.dispatch()
            self.repair()
            while self.tickets:
                self.take_ticket(0)
            for run in list(self.runs):
                self.heartbeat(self.runs.index(run))
                while run in self.runs:
                    self._go_on(run)
            self.pass_time(LEASE_SECONDS + 1)
            self.reap()
            self.a_task_ends_once_and_stays_so()
        left = {task_id: self.store.seen(task_id).status for task_id in self.tasks}
        assert set(left.values()) <= TERMINAL, f"never ended: {left}"
