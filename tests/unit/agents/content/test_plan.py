"""The limits of a plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.agents.content.plan import MAX_QUERIES, QUERY_CHARACTERS, ArticlePlan, clean_queries


@given(st.lists(st.text(max_size=300), max_size=8), st.integers(0, MAX_QUERIES))
def test_queries_are_few_short_distinct_and_on_one_line(drawn: list[str], limit: int) -> None:
    queries = clean_queries(drawn, limit=limit)
    assert len(queries) <= limit
    assert len(set(queries)) == len(queries)
    assert all(query and len(query) <= QUERY_CHARACTERS and "\n" not in query for query in queries)


def test_the_schema_is_closed_and_all_its_fields_are_required() -> None:
    schema = ArticlePlan.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])
