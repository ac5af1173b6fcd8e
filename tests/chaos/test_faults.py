"""The product survives every fault, and the suite would notice if it did not."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tests.chaos import faults
from tests.chaos.lab import FAULTS, Fault, Lab
from tests.chaos.switches import Switch

for _module in pkgutil.iter_modules(faults.__path__):
    importlib.import_module(f"{faults.__name__}.{_module.name}")

EARLY_ACKS = ("a_worker_dies_right_after_its_claim", "a_worker_dies_while_models_answer")
BROKEN = [(fault, switch, symptom) for fault in FAULTS for switch, symptom in fault.needs.items()]


def _marks(fault: Fault) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] if fault.long else []


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name, marks=_marks(fault)) for fault in FAULTS])
def test_survives(fault: Fault) -> None:
    fault.story(Lab(), fault.seconds)


@pytest.mark.long
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in EARLY_ACKS], ids=EARLY_ACKS)
def test_acknowledging_early_changes_nothing(fault: Fault) -> None:
    """Shows that a ticket is a hint: it decides nothing whether the broker keeps it until the task has ended."""
    fault.story(Lab(off=Switch.LATE_ACKS), fault.seconds)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "switch", "symptom"),
    [pytest.param(*broken, id=f"{broken[0].name}-{broken[1].value}") for broken in BROKEN],
)
def test_would_notice(fault: Fault, switch: Switch, symptom: str) -> None:
    with pytest.raises(AssertionError, match=symptom):
        fault.story(Lab(off=switch), fault.seconds)
