"""The wish of a caller to get the answer when the task has ended: `Prefer: wait=N` (RFC 7240), or `?wait=N`.

The parameter is for clients that cannot set headers. It counts more than the header, and one that is wrong is refused;
a preference that cannot be read is ignored, as the RFC demands.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Query, Request

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
    wait: Annotated[
        int | None, Query(ge=0, description="Seconds; does what `Prefer: wait=N` does, and counts more than it.")
    ] = None,
) -> int:
    """Reads the seconds that the caller wants to wait, at most as long as this installation allows."""
    asked_seconds = _preferred(prefer) if wait is None else wait
    seconds = min(asked_seconds, state.settings.api.max_wait_seconds)
    request.state.waits = seconds > 0  # left out of latency figures: see RequestContext
    return seconds


def _preferred(prefer: str | None) -> int:
    found = _WAIT.search(prefer or "")
    return int(found[1]) if found else 0


WaitSeconds = Annotated[int, Depends(wait_seconds)]
