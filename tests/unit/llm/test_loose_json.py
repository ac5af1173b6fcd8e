from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.loose_json import read_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        ('{"a": 1, "b": [1, 2, ], }', {"a": 1, "b": [1, 2]}),
        ('{"a": {"b": 1,},}', {"a": {"b": 1}}),
        ('{"a": 1, // the first\n "b": 2 /* the\nsecond */, # the last\n}', {"a": 1, "b": 2}),
        ('{"a": "http://b/#c", "d": "/* no */"}', {"a": "http://b/#c", "d": "/* no */"}),
        ('{"a": True, "b": False, "c": None, "d": "None"}', {"a": True, "b": False, "c": None, "d": "None"}),
        ("{'a': 'b', 'c': ['d', \"it's\"]}", {"a": "b", "c": ["d", "it's"]}),
        (r"{'a': 'it\'s', 'b': 'say \"no\" or " + '"yes"' + r"\n'}", {"a": "it's", "b": 'say "no" or "yes"\n'}),
        (r'{"a": "it\'s \\", }', {"a": "it's \\"}),
        ("{a: 1, b_2: {c: 'd'}}", {"a": 1, "b_2": {"c": "d"}}),
        ('{"a": -1.5e+3, }', {"a": -1500.0}),
        ("{ }", {}),
    ],
)
def test_slips_with_one_meaning_are_read(text: str, value: dict[str, Any]) -> None:
    assert read_object(text)[:2] == (value, len(text))
    assert read_object(f"So: {text} Good?", 4)[:2] == (value, 4 + len(text))


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 'it's', 'b': 1}",
        "{'a': 'rock 'n' roll'}",
        '{"a": "He said "no", and left"}',
        '{"a": 1 "b": 2}',
        '{"a": 1,, "b": 2}',
        '{"a": [,]}',
        "{,}",
        '{"a": }',
        '{"a": yes}',
        '{"a": tr ue}',
        '{"a": 95%}',
        '{"a": 1_000}',
        '{"a": 1 // the end }',
        r"{'a': '\x41'}",
        "{None: 1}",
        "{a b: 1}",
        '{"a": 1]',
        '{"a": "b',
        '{"a": 1',
        "{",
        "[1, 2]",
        "text",
        "",
    ],
)
def test_what_has_no_clear_meaning_is_no_object(text: str) -> None:
    assert read_object(text).value is None


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('{"a": 1 "b": [{"c": 2}]} {"d": 3}', ' {"d": 3}'),
        ('{"a": {"b": 1}, ...} {"d": 3}', '...} {"d": 3}'),
        ('{"a": [{"b": 1}', ""),
        ('{{"a": 1}}', '{"a": 1}}'),
        ('{text} {"a": 1}', 'text} {"a": 1}'),
    ],
)
def test_parts_of_a_broken_object_are_no_answers(text: str, rest: str) -> None:
    value, end, _ = read_object(text)
    assert (value, text[end:]) == (None, rest)


@pytest.mark.parametrize("piece", ['{"a" ', '{"a": ', "{'", "{a:", '{"a": "b", ', "/*", "{\\"])
def test_a_long_text_is_refused_in_no_time(piece: str) -> None:
    text = "{" + piece * (100_000 // len(piece))
    begun = time.process_time()
    assert read_object(text).value is None
    assert time.process_time() - begun < 1.0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_python_or_json_writes_is_read_as_it_was(value: dict[str, Any]) -> None:
    assert read_object(json.dumps(value)) == (value, len(json.dumps(value)), True)
    loose = json.dumps(value, ensure_ascii=False, indent=1).replace("\n}", ",\n}") if value else "{}"
    assert read_object(loose)[:2] == (value, len(loose))
