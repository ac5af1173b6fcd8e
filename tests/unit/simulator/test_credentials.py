"""The credentials that each provider accepts, and its words for all others."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from app.simulator.credentials import MISSING_KEY, WRONG_KEY, check_credential

Given = list[tuple[str, str]]
BEARER, X_API_KEY, API_KEY = ("authorization", "Bearer k"), ("x-api-key", "k"), ("api-key", "k")
ACCEPTED = [
    ("openai", BEARER),
    ("openai", API_KEY),
    ("anthropic", BEARER),
    ("anthropic", X_API_KEY),
    ("tavily", BEARER),
]
PROVIDERS = ["openai", "anthropic", "tavily"]


def code_of(provider: str, given: Given) -> str | None:
    headers = Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in given])
    failure = check_credential(headers, provider)
    return None if failure is None else failure.code


@pytest.mark.parametrize(("provider", "given"), ACCEPTED)
def test_one_credential_of_the_provider_is_accepted(provider: str, given: tuple[str, str]) -> None:
    assert code_of(provider, [given]) is None
    assert code_of(provider, [("user-agent", "test"), given, ("x-task-id", "none")]) is None


@pytest.mark.parametrize(("provider", "given"), ACCEPTED)
@pytest.mark.parametrize("key", ["", " ", "none", "None", "NONE", "null", "undefined", "revoked", "revoked-1", "k 1"])
def test_key_that_is_none_is_refused(provider: str, given: tuple[str, str], key: str) -> None:
    name, value = given
    assert code_of(provider, [(name, value.removesuffix("k") + key)]) == WRONG_KEY


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "value", ["k", "Bearer", "Bearer ", "bearer k", "Basic k", "Bearer Bearer k", "Bearer  k", "BearerBearer k"]
)
def test_bearer_token_has_one_form(provider: str, value: str) -> None:
    assert code_of(provider, [("authorization", value)]) == WRONG_KEY


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "given",
    [
        [BEARER, X_API_KEY],
        [BEARER, API_KEY],
        [BEARER, BEARER],
        [("authorization", "Bearer none"), X_API_KEY],
        [BEARER, ("x-api-key", "")],
        [BEARER, X_API_KEY, API_KEY],
    ],
)
def test_second_credential_is_refused(provider: str, given: Given) -> None:
    assert code_of(provider, given) == WRONG_KEY


@pytest.mark.parametrize(
    ("provider", "given"),
    [
        *((provider, []) for provider in PROVIDERS),
        ("openai", [X_API_KEY]),
        ("anthropic", [API_KEY]),
        ("tavily", [X_API_KEY]),
        ("tavily", [API_KEY]),
    ],
)
def test_credential_in_a_header_that_the_provider_does_not_read_is_missing(provider: str, given: Given) -> None:
    assert code_of(provider, given) == MISSING_KEY


def test_refusal_does_not_repeat_the_key() -> None:
    failure = check_credential(Headers({"authorization": "Bearer revoked-secret"}), "openai")
    assert failure is not None
    assert "secret" not in failure.message
