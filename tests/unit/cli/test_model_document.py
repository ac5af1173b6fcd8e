"""Models as JSON: null where nothing is known, and the same names whatever is wrong."""

from __future__ import annotations

import json
from typing import Any

from app.cli.model_document import ROLE_NAMES, to_document
from app.llm.interface import ModelRole
from tests.unit.cli.model_facts import REFUSED, facts, model


def test_every_role_has_a_name() -> None:
    assert set(ROLE_NAMES) == set(ModelRole)


def test_a_hop_has_all_fields() -> None:
    document = to_document(facts([model()]), of_stack=False)

    assert json.loads(json.dumps(document)) == document
    assert (document["settings_from"], list(document["roles"])) == (
        "environment",
        ["router", "content", "code", "primary"],
    )
    router: dict[str, Any] = document["roles"]["router"]
    assert (router["setting"], router["can_be_asked"]) == ("LLM_PEER_MODEL", True)
    assert router["hops"] == [
        {
            "name": "openai:gpt-4.1",
            "provider": "openai",
            "model": "gpt-4.1",
            "asked_through": "http",
            "can_be_asked": True,
            "reachable": True,
            "problem": None,
            "listed": True,
            "endpoint": "/chat/completions",
            "thinks": False,
            "patience_seconds": 5.0,
            "dialect": {"refused": ["effort", "stream_options"], "max_output_tokens": 8192},
            "price": {"input_usd_per_million": 2.0, "output_usd_per_million": 0.375, "source": "table-1"},
            "ends_at": "2027-01-14T00:00:00+00:00",
        }
    ]


def test_what_is_not_known_is_null() -> None:
    unknown = model("my-deployment", provider="azure", listing=None, endpoint=None, dialect=None, rate=None)
    (hop,) = to_document(facts([unknown]), of_stack=True)["roles"]["router"]["hops"]

    assert hop["asked_through"] == "langchain"
    empty = ("reachable", "problem", "listed", "endpoint", "dialect", "price", "ends_at")
    assert [hop[name] for name in empty] == [None] * len(empty)


def test_a_refused_key_is_a_problem_of_its_provider_and_of_its_hops() -> None:
    document = to_document(facts([model(listing=REFUSED)], listing=REFUSED), of_stack=False)

    problem = 'the key is refused: 401: "no such key" (is OPENAI_API_KEY right?)'
    (hop,) = document["roles"]["router"]["hops"]
    assert (hop["problem"], hop["reachable"], hop["can_be_asked"]) == (problem, False, False)
    assert document["roles"]["router"]["can_be_asked"] is False
    assert document["providers"]["openai"]["problem"] == problem
    assert document["providers"]["openai"]["models_listed"] is None


def test_a_provider_has_its_models_or_the_variable_that_it_lacks() -> None:
    providers = to_document(facts([model()]), of_stack=False)["providers"]
    assert providers["openai"]["models_listed"] == ["gpt-4.1", "gpt-6-luna"]
    assert providers["anthropic"]["left_out"] == "set ANTHROPIC_API_KEY"
