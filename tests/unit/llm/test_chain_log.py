"""The log of a chain: why a model did not answer, without a word that may come from the prompt or from an answer."""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from app.errors import LLMError
from app.llm.chain_call import ChainCall
from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage
from app.llm.plans import PlainPlan
from app.llm.provider_table import Provider
from app.llm.providers.adapter import Finish, ProviderAnswer, ProviderRequest
from tests.unit.llm.doubles import Bench, ScriptedAdapter, answer

FIRST, SECOND = Hop(Provider.OPENAI, "gpt-4.1-mini"), Hop(Provider.ANTHROPIC, "claude-sonnet-5")
OUTLINE = "400 unsupported_value param=stream (request req_1)"
REFUSED = ProviderFault(FaultKind.BAD_REQUEST, '400 unsupported_value: "No Ada here"', outline=OUTLINE)
WRONG_KEY = ProviderFault(FaultKind.AUTH, "401 invalid_api_key")


async def log_of(
    first: Sequence[ProviderAnswer | ProviderFault], second: Sequence[ProviderAnswer | ProviderFault]
) -> list[MutableMapping[str, Any]]:
    """Plays one call, and returns what it logged, whether or not it was answered."""
    made = Bench({Provider.OPENAI: ScriptedAdapter(list(first)), Provider.ANTHROPIC: ScriptedAdapter(list(second))})
    plan = PlainPlan[BaseModel](ProviderRequest(model="", messages=(ChatMessage("user", "Hi."),), max_tokens=100))
    with capture_logs() as lines, contextlib.suppress(LLMError):
        await ChainCall(made.parts(), made.scope(), hops=(FIRST, SECOND), plan=plan, headers={}).run()
    assert "Ada" not in str(lines)
    return lines


@pytest.mark.parametrize("kind", [FaultKind.BAD_REQUEST, FaultKind.QUOTA, FaultKind.MODEL_NOT_FOUND])
async def test_the_next_model_is_asked_for_a_reason(kind: FaultKind) -> None:
    fault = ProviderFault(kind, 'No "Ada".', outline=OUTLINE)
    (line,) = await log_of([fault], [answer()])
    assert line == {
        "event": "llm_fallback",
        "log_level": "info",
        "from_model": FIRST.name,
        "to_model": SECOND.name,
        "reason": kind.value,
        "detail": OUTLINE,
    }


async def test_a_call_that_no_model_answers_logs_each_reason() -> None:
    fallback, failed = await log_of([REFUSED], [WRONG_KEY])
    assert (fallback["event"], fallback["detail"]) == ("llm_fallback", OUTLINE)
    assert failed == {
        "event": "llm_call_failed",
        "log_level": "warning",
        "model": SECOND.name,
        "error_code": "LLM_BAD_REQUEST",
        "reason": "auth",
        "detail": "401 invalid_api_key",
    }


async def test_a_policys_refusal_logs_its_reason_although_no_other_model_is_asked() -> None:
    (failed,) = await log_of([ProviderFault(FaultKind.REFUSED, 'policy: "Ada"', outline="policy")], [answer()])
    assert (failed["event"], failed["model"], failed["detail"]) == ("llm_call_failed", FIRST.name, "policy")


async def test_a_continuation_that_fails_logs_its_reason() -> None:
    cut = replace(answer("Once"), finish=Finish.LENGTH)
    (line,) = await log_of([cut, REFUSED], [answer()])
    assert (line["event"], line["model"], line["detail"]) == ("continuation_failed", FIRST.name, OUTLINE)
