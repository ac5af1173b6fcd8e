"""Sums of tokens and money, in which what is unknown or estimated stays visible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.usage import NO_USAGE, Usage

costs = st.none() | st.integers(0, 10**12)
usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 10**9),
    output_tokens=st.integers(0, 10**9),
    cost_microusd=costs,
    estimated=st.booleans(),
)


@given(first=usages, second=usages)
def test_sums_are_exact_and_an_unknown_cost_stays_unknown(first: Usage, second: Usage) -> None:
    total = first + second

    assert total.total_tokens == first.total_tokens + second.total_tokens
    assert total.known_cost_microusd == first.known_cost_microusd + second.known_cost_microusd
    if first.cost_microusd is None or second.cost_microusd is None:
        assert total.cost_microusd is None
    else:
        assert total.cost_microusd == total.known_cost_microusd
    assert total.estimated == (first.estimated or second.estimated)


@given(parts=st.lists(usages, max_size=5))
def test_the_order_of_the_parts_makes_no_difference(parts: list[Usage]) -> None:
    assert sum(parts, NO_USAGE) == sum(reversed(parts), NO_USAGE)


def test_one_call_of_unknown_cost_leaves_the_cost_of_the_others_known() -> None:
    nine = sum([Usage(input_tokens=1, cost_microusd=10)] * 9, NO_USAGE)
    total = nine + Usage(input_tokens=5, cost_microusd=None, estimated=True)
    assert (total.cost_microusd, total.known_cost_microusd, total.estimated) == (None, 90, True)


def test_the_usage_of_an_older_version_is_read() -> None:
    old = Usage.model_validate({"input_tokens": 3, "output_tokens": 4, "cost_microusd": 12})
    assert (old.known_cost_microusd, old.estimated) == (12, False)
    assert Usage.model_validate({"input_tokens": 3, "cost_microusd": None}).known_cost_microusd == 0
