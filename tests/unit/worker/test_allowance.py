"""A budget stops a call before it is made, never after."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.task import Budget
from app.domain.usage import NO_USAGE, Usage
from app.errors import BudgetExceeded
from worker.allowance import minus, priced, refuse_beyond

amounts = st.builds(
    Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6), cost_microusd=st.integers(0, 10**9)
)


def test_a_call_that_fits_is_allowed() -> None:
    refuse_beyond(
        Budget(max_tokens=10, max_cost_microusd=5), spent=NO_USAGE, wanted=Usage(input_tokens=10, cost_microusd=5)
    )


@pytest.mark.parametrize("wanted", [Usage(output_tokens=6), Usage(cost_microusd=4)])
def test_a_call_that_could_pass_the_budget_is_refused_with_what_is_left(wanted: Usage) -> None:
    spent = Usage(input_tokens=5, cost_microusd=2)

    with pytest.raises(BudgetExceeded, match="are left"):
        refuse_beyond(Budget(max_tokens=10, max_cost_microusd=5), spent=spent, wanted=wanted)


def test_a_cost_budget_refuses_a_model_without_a_price() -> None:
    with pytest.raises(BudgetExceeded, match="no known price"):
        refuse_beyond(Budget(max_cost_microusd=5), spent=NO_USAGE, wanted=Usage(cost_microusd=None))
    refuse_beyond(Budget(max_tokens=5), spent=NO_USAGE, wanted=Usage(input_tokens=5, cost_microusd=None))


@given(budget=st.integers(0, 10**6), spent=amounts, wanted=amounts)
def test_allowed_calls_never_pass_the_budget(budget: int, spent: Usage, wanted: Usage) -> None:
    try:
        refuse_beyond(Budget(max_tokens=budget, max_cost_microusd=budget), spent=spent, wanted=wanted)
    except BudgetExceeded:
        return
    assert (spent + wanted).total_tokens <= budget
    assert ((spent + wanted).cost_microusd or 0) <= budget


@given(usage=amounts, part=amounts)
def test_subtracting_a_reservation_undoes_it(usage: Usage, part: Usage) -> None:
    assert minus(usage + part, part) == usage


def test_an_unknown_price_counts_as_zero_if_only_tokens_are_limited() -> None:
    assert priced(Usage(input_tokens=1, cost_microusd=None)) == Usage(input_tokens=1, cost_microusd=0)
