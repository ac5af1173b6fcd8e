"""The fair choice of the next tasks, as properties of the pure decision."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.domain.fairness import QUARANTINE_CRASHES, InFlight, TenantPolicy
from app.domain.identity import TaskId, Tenant
from app.ports import WaitingTask
from app.services.fair_share import Candidates, choose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B = Tenant("a"), Tenant("b")
EQUAL = TenantPolicy()


def waiting(tenant: Tenant, number: int, *, crashes: int = 0) -> WaitingTask:
    return WaitingTask(
        task_id=TaskId(f"{tenant}-{number}"),
        tenant=tenant,
        rev=1,
        dispatch_seq=0,
        priority=0,
        queued_at=NOW,
        traceparent=None,
        request_id="r",
        crashes=crashes,
    )


def candidates(**numbers: int) -> Candidates:
    return Candidates(
        {Tenant(name): deque(waiting(Tenant(name), at) for at in range(number)) for name, number in numbers.items()}
    )


def served(
    numbers: dict[str, int], held: dict[str, int], room: int, policies: dict[str, TenantPolicy] | None = None
) -> Counter[str]:
    known = policies or {}
    in_flight = InFlight(by_tenant={Tenant(name): number for name, number in held.items()})
    chosen = choose(candidates(**numbers), in_flight, room=room, policy_of=lambda tenant: known.get(tenant, EQUAL))
    return Counter(task.tenant for task in chosen)


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
    chosen = choose(candidates(a=3), InFlight(), room=2, policy_of=lambda _: EQUAL)

    assert [task.task_id for task in chosen] == ["a-0", "a-1"]


def test_one_quarantined_task_at_a_time() -> None:
    both = deque(waiting(tenant, 0, crashes=QUARANTINE_CRASHES) for tenant in (A, B))

    first = choose(Candidates(quarantined=both), InFlight(), room=9, policy_of=lambda _: EQUAL)
    second = choose(Candidates(quarantined=both), InFlight(quarantined=1), room=9, policy_of=lambda _: EQUAL)

    assert [task.tenant for task in first] == [A]
    assert second == []


def test_a_quarantined_task_heeds_its_tenants_limit() -> None:
    both = deque(waiting(tenant, 0, crashes=QUARANTINE_CRASHES) for tenant in (A, B))
    full = InFlight(by_tenant={A: 1})

    chosen = choose(Candidates(quarantined=both), full, room=9, policy_of=lambda _: TenantPolicy(max_running=1))

    assert [task.tenant for task in chosen] == [B]


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
