"""Models on a terminal: everything known is there, nothing is cut, and what is wrong names its setting."""

from __future__ import annotations

from rich.console import Console

from app.cli.model_text import print_models
from app.llm.faults import FaultKind, ProviderFault
from app.llm.hop_facts import ModelFacts
from app.llm.model_check import ProviderList
from app.llm.server_dialect import FULL
from tests.unit.cli.model_facts import REFUSED, facts, model


def shown(known: ModelFacts, *, width: int = 80) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        print_models(console, known, title="Models of this environment")
    return captured.get()


def words(known: ModelFacts, *, width: int = 80) -> str:
    return " ".join(shown(known, width=width).split())


def test_everything_that_is_known_of_a_model_is_shown() -> None:
    text = words(facts([model()]))

    assert "openai https://api.openai.com/v1 answers, and lists 2 models" in text
    assert "anthropic left out: set ANTHROPIC_API_KEY" in text
    assert "router 1 openai:gpt-4.1 can be asked" in text
    for line in (
        "endpoint /chat/completions",
        "patience 5 s of silence; does not think first",
        "price $2.00 in, $0.375 out for a million tokens (table-1)",
        "dialect without effort, stream_options; at most 8192 output tokens",
        "ends on 2027-01-14",
    ):
        assert line in text


def test_what_is_unknown_is_called_so() -> None:
    text = words(facts([model("gpt-6-luna", dialect=None, rate=None, thinks=True, patience_seconds=60.0)]))

    assert "patience 60 s of silence; thinks first price unknown dialect unknown: Redis (REDIS_URL)" in text
    assert "ends no date known" in text


def test_a_dialect_without_lessons_is_not_called_unknown() -> None:
    assert "its server has refused nothing so far" in words(facts([model("gpt-6-luna", dialect=FULL)]))


def test_a_model_of_several_chains_is_described_once_and_stands_in_each() -> None:
    text = shown(facts([model(), model("gpt-6-luna")]))
    assert text.count("\nopenai:gpt-4.1\n") == 1
    assert text.count("   openai:gpt-4.1 ") == 4


def test_a_refused_key_is_explained_once_and_shown_at_each_model() -> None:
    text = words(facts([model(listing=REFUSED)], listing=REFUSED))
    assert text.count('the key is refused: 401: "no such key" (is OPENAI_API_KEY right?)') == 1
    assert "router 1 openai:gpt-4.1 the key is refused" in text


def test_a_model_that_is_not_listed_is_shown_with_the_names_that_are() -> None:
    assert "router 1 openai:gpt-5 not listed content" in words(facts([model("gpt-5")]))
    text = words(facts([model("gpt-5", elsewhere=True)]))
    assert "openai:gpt-5 not listed, may answer all the same" in text
    assert "its models: gpt-4.1, gpt-6-luna" in text
    assert "its models" not in words(facts([model()]))


def test_a_long_list_of_names_is_cut_and_counted() -> None:
    many = ProviderList({f"model-{number:03}": None for number in range(250)})
    text = words(facts([model("gpt-5", listing=many)], listing=many))
    assert "model-019 and 230 more" in text
    assert "model-020" not in text


def test_a_server_without_a_list_is_no_fault() -> None:
    nothing = ProviderList()
    text = words(facts([model(listing=nothing)], listing=nothing))
    assert "answers, and has no list of models" in text
    assert "router 1 openai:gpt-4.1 can be asked" in text


def test_a_model_of_another_provider_is_asked_through_langchain() -> None:
    text = words(facts([model("my-deployment", provider="azure", listing=None, endpoint=None)]))
    assert "router 1 azure:my-deployment asked through LangChain, not checked" in text
    assert "endpoint asked through LangChain" in text


def test_a_role_without_a_model_is_shown() -> None:
    assert "router no model content 1" in words(facts([]))


def test_a_provider_that_no_chain_uses_is_not_called_out_of_order() -> None:
    assert "https://api.openai.com/v1 is in no chain" in words(facts([], listing=None))


def test_on_a_narrow_terminal_every_word_is_whole_and_no_line_is_longer() -> None:
    long = model("accounts/vendor/models/a-model-with-a-very-long-name-405b-instruct", listing=REFUSED)
    text = shown(facts([long], listing=REFUSED), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "…" not in text


def test_control_characters_of_a_server_are_taken_out() -> None:
    rude = ProviderList(fault=ProviderFault(FaultKind.SERVER, "500 \x1b[2Jgone"))
    assert "\x1b" not in shown(facts([model(listing=rude)], listing=rude))
