"""Spans named `agents.{workflow_type}.{action}`, and the traceparent that carries a trace through Redis.

Without an OTLP endpoint no exporter runs and spans are not recorded. Open a span inside the coroutine that it covers:
the context does not cross `run_coroutine_threadsafe`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider, Span, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.settings import ProcessSettings

AttributeValue = str | int | float | bool
_PROPAGATOR = TraceContextTextMapPropagator()

TRACEPARENT_PARTS = 4  # W3C Trace Context: version, trace id, parent id, flags


class Tracing:
    """The process's tracer. The composition root builds it once; `close` exports the spans that are still buffered."""

    def __init__(self, settings: ProcessSettings, *, process: str, version: str) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: Tracer = NoOpTracerProvider().get_tracer("agent_orchestrator")
        if settings.otlp_endpoint:
            resource = Resource.create(
                {
                    "service.name": f"agent-orchestrator-{process}",
                    "service.version": version,
                    "deployment.environment.name": settings.environment.value,
                }
            )
            self._provider = TracerProvider(resource=resource)
            endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
            self._tracer = self._provider.get_tracer("agent_orchestrator", version)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        traceparent: str | None = None,
        attributes: Mapping[str, AttributeValue | None] | None = None,
    ) -> Iterator[Span]:
        """Runs the block inside a span, which continues the trace of `traceparent`, or the current one without it.

        An exception marks the span as failed, with the name of its class only.
        """
        context = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
        present = {key: value for key, value in (attributes or {}).items() if value is not None}
        # The SDK would record the exception's text, which may hold what a user wrote.
        with self._tracer.start_as_current_span(
            name, context=context, attributes=present, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()


def current_traceparent() -> str | None:
    """Returns the W3C traceparent of the current span, None outside a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """Returns the id of the current trace, 32 hexadecimal digits, None outside a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def trace_id_of(traceparent: str | None) -> str | None:
    """Returns the trace id of a W3C `traceparent` header, 32 hexadecimal digits, None for anything else."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == TRACEPARENT_PARTS else None
