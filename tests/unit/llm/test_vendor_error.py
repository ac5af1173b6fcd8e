from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.vendor_error import SHOWN_CHARACTERS, VendorError, describe, outline, read_error, without_quotes

OPENAI = {"error": {"message": "No.", "type": "invalid_request_error", "param": "stream", "code": "unsupported_value"}}
ANTHROPIC = {
    "type": "error",
    "error": {"type": "rate_limit_error", "message": "No.", "details": {"error_code": "contract_spend_limit_reached"}},
    "request_id": "req_2",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (OPENAI, VendorError(400, ("unsupported_value", "invalid_request_error"), "stream", "No.")),
        (
            ANTHROPIC,
            VendorError(400, ("contract_spend_limit_reached", "rate_limit_error"), "", "No.", "req_2"),
        ),
        ({"error": "model 'x' not found"}, VendorError(400, message="model 'x' not found")),
        (
            {"object": "error", "message": "Too long", "type": "BadRequestError", "param": None, "code": 400},
            VendorError(400, ("BadRequestError",), message="Too long"),
        ),
        ({"detail": "Not Found"}, VendorError(400, message="Not Found")),
        (
            {"detail": [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]},
            VendorError(400, (), "body.max_completion_tokens", "Extra inputs are not permitted"),
        ),
        (
            [{"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}],
            VendorError(400, ("NOT_FOUND",), message="gone"),
        ),
        (
            {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "overloaded"}}},
            VendorError(400, message="Provider returned error overloaded"),
        ),
        (
            {"message": {"detail": [{"loc": ["body", "n"], "msg": "Not permitted"}]}, "type": "invalid_request_error"},
            VendorError(400, ("invalid_request_error",), "body.n", "Not permitted"),
        ),
        ({"errors": [{"message": "Too long", "code": 5021}]}, VendorError(400, message="Too long")),
        ({"error": [{"message": "Too long", "code": "long"}]}, VendorError(400, ("long",), message="Too long")),
        ({"error": ["Too long"]}, VendorError(400, message="Too long")),
        (
            {"error": "Model is overloaded", "error_type": "overloaded"},
            VendorError(400, ("overloaded",), message="Model is overloaded"),
        ),
        (
            {"__type": "com.amazon.coral.service#ThrottlingException", "Message": "Rate exceeded"},
            VendorError(400, ("ThrottlingException",), message="Rate exceeded"),
        ),
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            VendorError(400, message="insufficient balance"),
        ),
        (
            {"error": {"message": "No.", "code": "tool_use_failed", "failed_generation": "<function=x>"}},
            VendorError(400, ("tool_use_failed",), message="No.", generation="<function=x>"),
        ),
        (
            {"error": {"message": "No.", "code": "tool_use_failed", "failed_generation": {"a": "ö"}}},
            VendorError(400, ("tool_use_failed",), message="No.", generation='{"a": "ö"}'),
        ),
        ("plain text", VendorError(400, message="plain text")),
        ("<html><body>Invalid API key</body></html>", VendorError(400, is_page=True)),
        ("<!-- a proxy -->\n<html>", VendorError(400, is_page=True)),
        ("Too long: <body> has 9000 tokens", VendorError(400, message="Too long: <body> has 9000 tokens")),
        ({"error": "<html> is not JSON"}, VendorError(400, message="<html> is not JSON")),
        (None, VendorError(400)),
        ([], VendorError(400)),
        ({"error": {"code": "a text with spaces, and long", "message": 3}}, VendorError(400)),
    ],
)
def test_every_known_shape_is_read(body: Any, expected: VendorError) -> None:
    assert read_error(body, status=400) == expected


@pytest.mark.parametrize("code", [429, "429"])
def test_inside_an_answer_the_code_is_the_status(code: object) -> None:
    assert read_error({"error": {"code": code}}, status=200).status == 429
    assert read_error({"error": {"code": "server_error"}}).status is None


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("ThrottlingException", "ThrottlingException"),
        ("ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", "ThrottlingException"),
        ("com.amazon.coral.service#ThrottlingException", "ThrottlingException"),
    ],
)
def test_aws_names_the_type_in_a_header(header: str, code: str) -> None:
    assert read_error({"message": "No."}, status=400, headers={"x-amzn-errortype": header}).codes == (code,)


def test_the_id_of_a_request_is_in_the_headers_or_in_the_body() -> None:
    assert read_error({}, status=500, headers={"x-request-id": "req_1"}).request_id == "req_1"
    assert read_error({"error": {"request_id": "req_3"}}, status=500).request_id == "req_3"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "__type", "message", "detail", "param", "details", "metadata", "failed_generation"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.none() | st.integers(200, 599))
def test_any_body_is_read(body: Any, status: int | None) -> None:
    assert isinstance(read_error(body, status=status), VendorError)


PROMPT = [
    "Translate: the quick brown fox\njumps over the lazy dog",
    "hello",
    "请把这句话翻译成英文,并且保留标点符号和格式",
]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Unsupported parameter: 'stream'", "Unsupported parameter: 'stream'"),
        ("Bad text 'the quick brown fox jumps' at 3", "Bad text '…' at 3"),
        ("Bad text: the quick  brown\nfox.", "Bad text…."),
        ("Bad text='the quick brown\\nfox jumps'", "Bad text='…'"),
        ("Invalid content: 'hello'.", "Invalid content: '…'."),
        ("content='请把这句话翻译成英文,并且保留标点', invalid", "content='…', invalid"),
        ("Refused: 请把这句话翻译成英文,并且保留标点符号和格式", "Refused: …"),
        ("Incorrect API key provided: sk-abcdefghijklmnopqrstuvwxyz0123456789", "Incorrect API key provided: ***"),
        ("", ""),
    ],
)
def test_a_message_is_shown_without_secrets_and_without_quotations(message: str, shown: str) -> None:
    assert without_quotes(message, PROMPT) == shown


def test_a_long_message_is_cut() -> None:
    shown = without_quotes("word " * 1000, [])
    assert len(shown) == SHOWN_CHARACTERS
    assert shown.endswith("…")


def test_the_description_says_all_but_what_is_quoted_from_the_prompt() -> None:
    error = VendorError(
        status=400,
        codes=("unsupported_value", "400"),
        param="messages[0].role",
        message="Unsupported value: 'my secret prompt' in the first message",
        request_id="req_1",
    )
    told = describe(error, prompt=["Please keep my secret prompt to yourself."])
    assert told.startswith("400 unsupported_value param=messages[0].role: ")
    assert told.endswith("(request req_1)")
    assert "secret" not in told
    assert "in the first message" in told


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (
            VendorError(400, ("unsupported_value", "400"), "messages[0].role", "Not 'Ada' there", "req_1"),
            "400 unsupported_value param=messages[0].role (request req_1)",
        ),
        (VendorError(422, (), "body.n, body.seed", "Not permitted"), "422 param=body.n, body.seed"),
        # Neither a name nor an id, so it may be anything.
        (VendorError(400, param="the letter to Ada", request_id="for Ada"), "400"),
        (VendorError(401, ("my-proxy-key-12345",), request_id="my-proxy-key-12345"), "401 *** (request ***)"),
        (VendorError(message="Ada is no city."), ""),
    ],
)
def test_an_outline_has_no_word_of_the_vendors_prose(error: VendorError, logged: str) -> None:
    assert outline(error, prompt=["A long letter to Ada."], secrets=["my-proxy-key-12345"]) == logged
