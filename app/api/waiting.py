"""The wish of a caller to get the answer when the task has ended: `Prefer: wait=N` (RFC 7240)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from app.api.dependencies import State

APPLIED_HEADER = "Preference-Applied"
# For the OpenAPI document.
APPLIED = {APPLIED_HEADER: {"schema": {"type": "string"}, "description": "`wait=N`, if the call was asked to wait."}}
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)


async def wait_seconds(
    request: Request,
    state: State,
    prefer: Annotated[
        str | None, Header(description="`wait=N` answers at the end of the task, or after N seconds.")
    ] = None,
) -> int:
    """Reads the seconds that the caller wants to wait, at most as long as this installation allows."""
    found = _WAIT.search(prefer or "")
    seconds = min(int(found[1]) if found else 0, state.settings.api.max_wait_seconds)
    request.state.waits = seconds > 0  # left out of latency figures: see RequestContext
    return seconds


WaitSeconds = Annotated[int, Depends(wait_seconds)]
