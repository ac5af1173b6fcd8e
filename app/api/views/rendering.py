"""The rendering of answers: pydantic serialises a view once, without FastAPI's second validation."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import Response
from pydantic import BaseModel


def json_answer(view: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Renders a view. A handler that returned the view itself would have FastAPI validate and copy it once more."""
    return Response(view.model_dump_json(), status, headers, media_type="application/json")
