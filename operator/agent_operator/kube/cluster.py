"""The calls to the Kubernetes API that kopf does not make for us, over the session that kopf uses, too.

A write may name what it expects to find (the object's uid, its resourceVersion): what has changed meanwhile is left
alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from agent_operator.kube.access import ClusterAccess

PAGE_ITEMS = 100
# Nobody reads more of the answer than the metadata.
PATCH_HEADERS = {
    "Content-Type": "application/merge-patch+json",
    "Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
}

Object = Mapping[str, Any]


class ClusterError(Exception):
    """Root of what a call may raise; `reason` is Kubernetes' own word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterAway(ClusterError):
    """No answer, or not now; trying again helps."""


class NotThere(ClusterError):
    """The object, or its kind, is not there."""


class HasChanged(ClusterError):
    """The object is not as it was expected."""


class NotAllowed(ClusterError):
    """The service account may not do this."""


# What is not listed passes: 429, a server that starts or stops, a token that is being rotated (401).
KINDS: Mapping[int, type[ClusterError]] = {
    400: ClusterError,
    403: NotAllowed,
    404: NotThere,
    409: HasChanged,
    410: HasChanged,
    413: ClusterError,
    422: ClusterError,
}


@dataclass(frozen=True)
class Cluster:
    """`access` brings address and credentials."""

    access: ClusterAccess

    async def list(self, path: str, **query: str) -> AsyncIterator[Object]:
        """The objects under a path, page by page. Raises ClusterError."""
        token = ""
        while True:
            paging = {"limit": str(PAGE_ITEMS), **({"continue": token} if token else {})}
            page = await self._call("GET", path, params={**query, **paging})
            for item in page.get("items", ()):
                yield item
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def get(self, path: str) -> Object:
        """Raises ClusterError."""
        return await self._call("GET", path)

    async def patch(self, path: str, change: Object) -> Object:
        """A merge patch: lists are replaced, None removes. Gives the object's metadata alone. Raises ClusterError."""
        return await self._call("PATCH", path, data=json.dumps(change), headers=PATCH_HEADERS)

    async def create(self, path: str, body: Object) -> Object:
        """Raises ClusterError."""
        return await self._call("POST", path, json=body)

    async def delete(self, path: str, *, uid: str) -> None:
        """Only this very object. Raises ClusterError."""
        await self._call("DELETE", path, json={"preconditions": {"uid": uid}})

    async def _call(self, method: str, path: str, **options: Any) -> Object:
        try:
            async with self.access.session.request(method, f"{self.access.server}{path}", **options) as answer:
                body = await answer.json(content_type=None) if answer.content_type == "application/json" else {}
                if answer.ok:
                    return dict(body)
                raise _failure(answer.status, body or {})
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ClusterAway("Unreachable", f"The API server does not answer ({type(error).__name__}).") from error


def _failure(status: int, body: Object) -> ClusterError:
    reason = str(body.get("reason") or f"Http{status}")
    message = str(body.get("message") or f"The API server answered {status}.")
    return KINDS.get(status, ClusterAway)(reason, message)
