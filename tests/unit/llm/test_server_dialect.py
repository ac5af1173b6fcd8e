from __future__ import annotations

import time

import pytest

from app.llm.server_dialect import FULL, Dialect, Feature, OutputLimit, output_limit, refused_feature
from app.llm.vendor_error import VendorError

ALL = frozenset(Feature)


@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("This response_format type is unavailable now", Feature.JSON_SCHEMA),
        (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            Feature.JSON_SCHEMA,
        ),
        ("output_config: Extra inputs are not permitted", Feature.JSON_SCHEMA),
        ("Failed to parse grammar", Feature.JSON_SCHEMA),
        ("output_config.effort: Extra inputs are not permitted", Feature.EFFORT),
        ("Unsupported parameter: 'reasoning_effort' is not supported with this model.", Feature.EFFORT),
        ("Your organization must be verified to generate reasoning summaries.", Feature.SUMMARY),
        ("Unrecognized request argument supplied: stream_options", Feature.STREAM_OPTIONS),
        ("Unsupported parameter: 'max_completion_tokens'", Feature.TOKEN_LIMIT_NAME),
        ("System role not supported", Feature.SYSTEM_ROLE),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", Feature.SYSTEM_ROLE),
        ("registry.ollama.ai/library/x does not support tools", Feature.FUNCTION),
        ("No endpoints found that support tool use", Feature.FUNCTION),
        ("Your organization must be verified to stream this model.", Feature.STREAMING),
        ("registry.ollama.ai/library/phi4-reasoning:latest does not support tools", Feature.FUNCTION),
        ("The tool_choice parameter does not support being set to required in thinking mode", Feature.TOOL_CHOICE),
        ("Tool choice must be auto", Feature.TOOL_CHOICE),
        ("Value error, input_value='Write a summary of streaming'", None),
        ("Invalid content 'Please write a summary of how streaming of tools and functions works'", None),
        ("Unrecognized request argument supplied: safety_identifier", Feature.END_USER),
        ("metadata: Extra inputs are not permitted", Feature.END_USER),
        ("metadata.user_id: Extra inputs are not permitted", Feature.END_USER),
        ("Unknown parameter: 'store'.", Feature.STORE),
        ("store: Extra inputs are not permitted", Feature.STORE),
        ("The Store parameter is not supported by this server", Feature.STORE),
        ("Unrecognized request argument supplied: store", Feature.STORE),
        ("The vector store vs_1 does not exist", None),
        ("Items are not persisted when `store` is set to false. Try again with `store` set to true.", None),
        ("This restored or stored item is unknown", None),
        ("temperature is not supported", None),
        ("Something is wrong", None),
    ],
)
def test_the_words_of_a_refusal_name_the_feature(message: str, feature: Feature | None) -> None:
    assert refused_feature(VendorError(400, message=message), ALL) is feature


def test_the_parameter_counts_like_the_words() -> None:
    error = VendorError(422, param="body.stream_options", message="Extra inputs are not permitted")
    assert refused_feature(error, ALL) is Feature.STREAM_OPTIONS


def test_only_what_the_request_used_can_have_been_refused() -> None:
    error = VendorError(400, message="response_format is not supported")
    assert refused_feature(error, ALL - {Feature.JSON_SCHEMA}) is None
    error = VendorError(400, param="tool_choice", message="tool_choice is not supported")
    assert refused_feature(error, ALL - {Feature.TOOL_CHOICE}) is Feature.FUNCTION


@pytest.mark.parametrize("status", [None, 200, 401, 403, 429, 500, 503])
def test_other_errors_teach_nothing(status: int | None) -> None:
    error = VendorError(status, message="response_format is not supported, max_tokens is at most 500")
    assert refused_feature(error, ALL) is None
    assert output_limit(error, asked=4000) is None


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            "max_tokens is too large: 32000. This model supports at most 16384 completion tokens.",
            OutputLimit(16384, lasting=True),
        ),
        (
            "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-3",
            OutputLimit(8192, lasting=True),
        ),
        ("Invalid max_tokens value, the valid range of max_tokens is up to 8,192", OutputLimit(8192, lasting=True)),
        (
            "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - "
            "received 8192.",
            OutputLimit(4096, lasting=True),
        ),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", OutputLimit(8192, lasting=True)),
        ("InvalidParameter: Range of max_tokens should be [1, 8192]", OutputLimit(8192, lasting=True)),
        (
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length",
            OutputLimit(11728, lasting=False),
        ),
        (
            "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 `inputs` tokens and 32000 "
            "`max_new_tokens`",
            OutputLimit(1064, lasting=False),
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 4100 tokens "
            "(100 in the messages, 4000 in the completion).",
            OutputLimit(3964, lasting=False),
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is "
            "4096 tokens and your request has 150 input tokens (4000 > 4096 - 150).",
            OutputLimit(3914, lasting=False),
        ),
        ("This model's maximum context length is 4096 tokens, your prompt has 5000 input tokens; max_tokens", None),
        ("max_tokens must be at least 1", None),
        ("at most 5 images", None),
    ],
)
def test_the_number_of_tokens_that_a_server_accepts_is_read(message: str, limit: OutputLimit | None) -> None:
    assert output_limit(VendorError(400, message=message), asked=32_000) == limit


@pytest.mark.parametrize("filling", ["1", " ", ",", "1 + ", "range [1, "])
def test_a_long_message_is_read_in_no_time(filling: str) -> None:
    message = "max_tokens " + filling * (64_000 // len(filling))
    begun = time.process_time()
    output_limit(VendorError(400, message=message), asked=32_000)
    assert time.process_time() - begun < 1.0


def test_a_limit_that_is_no_smaller_teaches_nothing() -> None:
    error = VendorError(400, message="at most 16384 completion tokens")
    assert output_limit(error, asked=16384) is None


def test_a_dialect_loses_features_one_by_one() -> None:
    learned = FULL.without(Feature.STREAMING).without(Feature.EFFORT)
    assert [learned.has(feature) for feature in (Feature.STREAMING, Feature.EFFORT, Feature.FUNCTION)] == [
        False,
        False,
        True,
    ]


def test_the_name_of_a_model_is_no_feature() -> None:
    error = VendorError(400, message="model 'stream-thinking' cannot do that")
    assert refused_feature(error, ALL, model="stream-thinking") is None


def test_two_lessons_are_joined() -> None:
    joined = FULL.without(Feature.STREAMING).joined(Dialect(frozenset({Feature.EFFORT}), 500)).joined(Dialect())
    assert joined == Dialect(frozenset({Feature.STREAMING, Feature.EFFORT}), 500)
