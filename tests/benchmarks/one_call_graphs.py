"""The graphs of LangGraph's development server: one node that makes one model call, by either of two clients.

`langgraph dev` loads this file by its path in an environment of its own (`.venv-langgraph`), so it imports nothing of
this project. The graphs are built at import because the server calls a function that builds a graph again for each run.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from functools import cache
from typing import Any, Protocol, TypedDict

import aiohttp
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

MODEL, SYSTEM = os.environ.get("ONE_CALL_MODEL", ""), os.environ.get("ONE_CALL_SYSTEM", "")
TIMEOUT_SECONDS = 30


class OneCall(TypedDict, total=False):
    """The state of a run: the text of the task, and the model's answer."""

    task: str
    text: str


class Node(Protocol):
    """The one node of a graph."""

    def __call__(self, state: OneCall) -> Awaitable[OneCall]: ...


def build_graph(answer: Node) -> Any:
    graph = StateGraph(OneCall)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile()


@cache
def _chat_model() -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, timeout=TIMEOUT_SECONDS, max_retries=0)


async def ask_with_langchain(state: OneCall) -> OneCall:
    """Asks by langchain's OpenAI model, which is how most graphs ask."""
    answer = await _chat_model().ainvoke([("system", SYSTEM), ("user", state["task"])])
    return {"text": answer.text}


@cache
def _session() -> aiohttp.ClientSession:
    # Without a limit of connections, as many calls run at once as the server runs jobs. It runs them in one event loop.
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        raise_for_status=True,
    )


async def ask_over_aiohttp(state: OneCall) -> OneCall:
    """Asks by one bare request, the cheapest call that a graph can make."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": state["task"]}]
    address = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    async with _session().post(address, json={"model": MODEL, "messages": messages}) as answer:
        content = await answer.json()
    return {"text": content["choices"][0]["message"]["content"]}


chat_openai = build_graph(ask_with_langchain)
bare_request = build_graph(ask_over_aiohttp)
