"""The application: the paths and their endpoints."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from app.simulator import azure, control, embeddings, models, tavily
from app.simulator.chat import ChatCompletions
from app.simulator.core import Simulator, SimulatorConfig
from app.simulator.messages import Messages
from app.simulator.responses import Responses


def create_app(config: SimulatorConfig) -> Starlette:
    simulator = Simulator(config)
    routes = [
        Route("/v1/chat/completions", simulator.model_endpoint(ChatCompletions()), methods=["POST"]),
        Route(azure.PATH, azure.endpoint(simulator), methods=["POST"]),
        Route("/v1/responses", simulator.model_endpoint(Responses()), methods=["POST"]),
        Route("/v1/messages", simulator.model_endpoint(Messages()), methods=["POST"]),
        Route("/v1/embeddings", embeddings.endpoint(simulator), methods=["POST"]),
        Route("/search", tavily.endpoint(simulator), methods=["POST"]),
        Route("/v1/models", models.list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", models.show_model, methods=["GET"]),
        *control.routes(simulator.faults, simulator.recordings, simulator.ledger),
    ]
    return Starlette(routes=routes)
