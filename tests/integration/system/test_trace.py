"""One trace per task, from the HTTP request through the ticket to each model call, as a collector receives it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.servers import HOST
from tests.support.stack import Plan, Stack, running_stack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Collector:
    """An OTLP/HTTP collector that keeps the spans it receives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_address[1]}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans += scope.spans

    def spans(self, request_id: str) -> dict[str, Span]:
        """Returns, by name, the spans of the trace that the request began."""
        with self._lock:
            roots = [span for span in self._spans if _attribute(span, "correlation_id") == request_id]
            traces = {span.trace_id for span in roots}
            return {span.name: span for span in self._spans if span.trace_id in traces}


def _attribute(span: Span, key: str) -> str | None:
    return next((entry.value.string_value for entry in span.attributes if entry.key == key), None)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    serving = threading.Thread(target=collector.server.serve_forever, daemon=True)
    serving.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    serving.join()


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Stack]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with running_stack(Plan(settings=settings)) as stack:
        yield stack


@pytest.mark.parametrize(("parent", "request_id"), [(None, "trace-own"), (PARENT, "trace-callers")])
def test_a_task_is_one_trace(traced: Stack, collector: Collector, parent: str | None, request_id: str) -> None:
    headers = {"X-Request-ID": request_id} | ({"Traceparent": parent} if parent else {})
    accepted = traced.submit("Write a Python function that traces itself, in a marked way.", headers=headers)
    traced.wait(accepted["task_id"])

    expected = {
        "agents.workflow.submit",
        "agents.task.execute",
        "agents.peer.execute",
        "agents.peer.classify_task",
        "agents.code.execute",
        "agents.code.generate",
    }
    traced.wait_until(lambda: expected <= collector.spans(request_id).keys(), seconds=20)
    spans = collector.spans(request_id)

    assert len({span.trace_id for span in spans.values()}) == 1
    if parent:
        assert spans["agents.task.execute"].trace_id.hex() == TRACE_ID
    assert spans["agents.task.execute"].parent_span_id == spans["agents.workflow.submit"].span_id
    assert _attribute(spans["agents.task.execute"], "workflow.id") == accepted["task_id"]
    calls = [span for span in spans.values() if _attribute(span, "gen_ai.operation.name") == "chat"]
    assert calls
    assert all(_attribute(span, "correlation_id") == request_id for span in calls)
    assert "marked way" not in str(spans)
