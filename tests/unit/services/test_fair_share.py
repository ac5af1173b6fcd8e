"""The fair choice of the next tasks, as properties of the pure decision."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.fairness import InFlight, TenantPolicy, most_suspects
from app.domain.identity import TaskId, Tenant
from app.ports import WaitingTask
from app.services.fair_share import ByTenant, Turns, choose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B = Tenant("a"), Tenant("b")
EQUAL = TenantPolicy()
SLOTS = 64


def waiting(tenant: Tenant, number: int, *, shared_crashes: int = 0) -> WaitingTask:
    return WaitingTask(
        task_id=TaskId(f"{tenant}-{number}"),
        tenant=tenant,
        rev=1,
        dispatch_seq=0,
        priority=0,
        queued_at=NOW,
        due_at=NOW,
        traceparent=None,
        request_id="r",
        shared_crashes=shared_crashes,
    )


def lists(**numbers: int) -> ByTenant:
    return {Tenant(name): deque(waiting(Tenant(name), at) for at in range(number)) for name, number in numbers.items()}


def served(
    numbers: dict[str, int], held: dict[str, int], room: int, policies: dict[str, TenantPolicy] | None = None
) -> Counter[str]:
    known = policies or {}
    turns = Turns(lambda tenant: known.get(tenant, EQUAL))
    in_flight = InFlight(by_tenant={Tenant(name): number for name, number in held.items()})
    chosen = choose(lists(**numbers), {}, in_flight, room=room, slots=SLOTS, turns=turns)
    return Counter(task.tenant for task in chosen)


def suspects(in_flight: InFlight, *, slots: int, policy: TenantPolicy = EQUAL, **crashes: list[int]) -> list[str]:
    """Chooses among suspects; `crashes` has the shared crashes of each one, by tenant."""
    waiting_lists = {
        Tenant(name): deque(waiting(Tenant(name), at, shared_crashes=number) for at, number in enumerate(shared))
        for name, shared in crashes.items()
    }
    chosen = choose({}, waiting_lists, in_flight, room=100, slots=slots, turns=Turns(lambda _: policy))
    assert not {task.task_id for task in chosen} & {task.task_id for tasks in waiting_lists.values() for task in tasks}
    return [task.task_id for task in chosen]


def test_one_task_of_a_small_tenant_goes_before_ten_thousand_of_a_large_one() -> None:
    assert served({"a": 10_000, "b": 1}, {"a": 64}, 1) == {"b": 1}


def test_equal_tenants_share_equally() -> None:
    assert served({"a": 100, "b": 100}, {}, 10) == {"a": 5, "b": 5}


def test_the_tenant_that_holds_more_waits() -> None:
    assert served({"a": 100, "b": 100}, {"a": 4}, 6) == {"a": 1, "b": 5}


def test_weights_are_proportions() -> None:
    assert served({"a": 100, "b": 100}, {}, 12, {"a": TenantPolicy(weight=3)}) == {"a": 9, "b": 3}


def test_a_limit_holds_however_much_room_there_is() -> None:
    assert served({"a": 100, "b": 2}, {"a": 1}, 50, {"a": TenantPolicy(max_running=3)}) == {"a": 2, "b": 2}


def test_within_a_tenant_the_order_stays() -> None:
    chosen = choose(lists(a=3), {}, InFlight(), room=2, slots=SLOTS, turns=Turns(lambda _: EQUAL))

    assert [task.task_id for task in chosen] == ["a-0", "a-1"]


def test_tenants_that_hold_nothing_take_turns() -> None:
    """Each task ends before the next one is chosen, so that nobody holds a slot at the time of a choice."""
    waiting_lists, turns = lists(a=9, b=9, c=9), Turns(lambda _: EQUAL)

    order = [choose(waiting_lists, {}, InFlight(), room=1, slots=SLOTS, turns=turns)[0].tenant for _ in range(6)]

    assert order == ["a", "b", "c", "a", "b", "c"]


def test_a_tenant_that_waits_no_more_is_forgotten() -> None:
    turns = Turns(lambda _: EQUAL)
    for tenant in (A, B):
        turns.record(tenant)

    turns.forget_all_but([B])

    assert turns.served == {B: 2}


@pytest.mark.parametrize(("slots", "most"), [(0, 1), (1, 1), (12, 6), (3_200, 1_600)])
def test_the_first_suspects_take_half_of_the_slots(slots: int, most: int) -> None:
    assert len(suspects(InFlight(), slots=slots, a=[0] * 2_000)) == min(most, 100)
    assert suspects(InFlight(suspects=most), slots=slots, a=[0] * 2_000) == []


def test_after_each_crash_the_groups_are_smaller_until_one_runs_alone() -> None:
    assert [most_suspects(3_200, suspicion) for suspicion in range(5)] == [1_600, 200, 25, 3, 1]
    assert most_suspects(12, 1) == 1


def test_the_suspects_with_the_most_crashes_go_first_and_keep_the_others_waiting() -> None:
    assert suspects(InFlight(), slots=12, a=[0, 1, 1], b=[0]) == ["a-1"]
    assert suspects(InFlight(suspects=1, suspicion=1), slots=12, a=[0, 1], b=[0]) == []


def test_suspects_of_all_tenants_take_turns() -> None:
    assert suspects(InFlight(), slots=8, a=[0] * 5, b=[0, 0]) == ["a-0", "b-0", "a-1", "b-1"]


def test_a_suspect_heeds_its_tenants_limit() -> None:
    full = InFlight(by_tenant={A: 1})

    assert suspects(full, slots=12, policy=TenantPolicy(max_running=1), a=[1], b=[0]) == ["b-0"]


_COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30), max_size=6)


@given(numbers=_COUNTS, held=_COUNTS, room=st.integers(0, 60), limit=st.none() | st.integers(1, 20))
def test_room_is_used_up_and_no_limit_broken(
    numbers: dict[str, int], held: dict[str, int], room: int, limit: int | None
) -> None:
    policy = TenantPolicy(max_running=limit)
    chosen = served(numbers, held, room, dict.fromkeys("abcdef", policy))

    free = {
        name: number if limit is None else max(0, min(number, limit - held.get(name, 0)))
        for name, number in numbers.items()
    }
    assert chosen.total() == min(room, sum(free.values()))
    assert all(chosen[name] <= free[name] for name in chosen)


@given(numbers=_COUNTS, held=_COUNTS, room=st.integers(0, 60))
def test_no_waiting_tenant_is_behind_one_that_was_served(
    numbers: dict[str, int], held: dict[str, int], room: int
) -> None:
    chosen = served(numbers, held, room)

    after = {name: held.get(name, 0) + chosen[name] for name in numbers}
    starving = [after[name] for name in numbers if numbers[name] > chosen[name]]
    if starving:
        assert all(after[name] <= min(starving) + 1 for name in chosen)
