"""The lists of the providers in use: all of them are read, whatever is wrong with one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.model_check import ProviderList, read_lists
from app.llm.provider_table import Provider
from tests.unit.llm.doubles import MemoryAdapters

ENDS = datetime(2027, 1, 14, tzinfo=UTC)
OPENAI = ProviderList({"gpt-4.1-2026-04-14": None, "gpt-4": ENDS})


@pytest.mark.parametrize(("model", "listed"), [("gpt-4", True), ("gpt-4.1", True), ("gpt-5", False)])
def test_a_model_is_listed_under_its_name_or_under_one_with_a_date(model: str, listed: bool) -> None:
    assert OPENAI.lists(model) is listed


def test_of_a_server_without_a_list_nothing_is_known() -> None:
    assert ProviderList().lists("gpt-4") is None


def test_the_end_is_that_of_the_name_itself() -> None:
    assert (OPENAI.ends("gpt-4"), OPENAI.ends("gpt-4.1")) == (ENDS, None)


async def test_each_provider_in_use_is_asked_once_and_a_fault_of_one_hides_no_other() -> None:
    refused = ProviderFault(FaultKind.AUTH, "401")
    source = MemoryAdapters({}, listed={Provider.OPENAI: OPENAI.models, Provider.ANTHROPIC: refused})
    hops = [Hop(Provider.OPENAI, "gpt-4"), Hop(Provider.OPENAI, "gpt-5"), Hop(Provider.ANTHROPIC, "claude-5")]

    lists = await read_lists(hops, source)

    assert lists == {"openai": OPENAI, "anthropic": ProviderList(fault=refused)}


async def test_a_vendor_of_langchain_has_no_list() -> None:
    assert await read_lists([Hop("azure", "deployment")], MemoryAdapters({})) == {}
