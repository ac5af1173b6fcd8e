"""The baseline: a Celery task that makes the same two model calls, with no store, no retry and no journal.

It is the program that people write first: a LangGraph graph of two nodes on langchain's OpenAI model, compiled once per
process. Run as a module it is the worker (prefork, eight slots). Results go through Redis.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any, TypedDict

from celery import Celery
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

SLOTS = 8
TWO_CALLS = "bare.two_calls"
QUEUE = "bare"


class Answer(TypedDict, total=False):
    task: str
    thought: str
    text: str


def build_bare(url: str) -> Celery:
    app = Celery("bare", broker=url, backend=url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
    app.task(name=TWO_CALLS)(two_calls)
    return app


@cache
def graph_of_process() -> Any:
    router = ChatOpenAI(model="gpt-4.1-mini", timeout=30, max_retries=0)
    writer = ChatOpenAI(model="gpt-4.1", timeout=30, max_retries=0)

    def classify(state: Answer) -> Answer:
        return {"thought": router.invoke(f"Which agent fits? {state['task']}").text}

    def write(state: Answer) -> Answer:
        return {"text": writer.invoke([("user", state["task"]), ("assistant", state["thought"])]).text}

    graph = StateGraph(Answer)
    graph.add_node("classify", classify)
    graph.add_node("write", write)
    graph.add_edge(START, "classify")
    graph.add_edge("classify", "write")
    graph.add_edge("write", END)
    return graph.compile()


def two_calls(task: str) -> str:
    answer: Answer = graph_of_process().invoke({"task": task})
    return answer["text"]


if __name__ == "__main__":
    build_bare(os.environ["REDIS_URL"]).worker_main(
        ["worker", "--pool=prefork", f"--concurrency={SLOTS}", "--loglevel=WARNING", f"--queues={QUEUE}"]
    )
    sys.exit(0)
