"""The calls to the Kubernetes API that kopf does not make, over the session that kopf uses, too.

A write may name the object's uid or resourceVersion that it expects. The API server then refuses it if the object has
changed meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from agent_operator.kube.access import CONNECT_SECONDS, ClusterAccess

# A page of AgentTasks with the longest texts (32,768 characters) has over 3 MB; the operator has 128 Mi in all.
PAGE_ITEMS = 100
# The callers use only the metadata of an answer to a patch, so the API server need not send the task's text back.
PATCH_HEADERS = {
    "Content-Type": "application/merge-patch+json",
    "Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
}
# The events of a watch need no more than the metadata either.
WATCH_HEADERS = {"Accept": PATCH_HEADERS["Accept"]}
WATCH_SECONDS = 300
# The API server sends a bookmark each minute, so a watch without any line for longer is cut off.
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=90.0)

Object = Mapping[str, Any]


class ClusterError(Exception):
    """Root of the errors that a call may raise; `reason` is the reason that Kubernetes gave."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterUnavailable(ClusterError):
    """The API server did not answer, or cannot do it now; a retry may succeed."""


class NotThere(ClusterError):
    """The object, or its kind, does not exist."""


class HasChanged(ClusterError):
    """The object is not in the state that the write expected."""


class NotAllowed(ClusterError):
    """The service account may not do this."""


# All other statuses pass with time: 429, a server that starts or stops, a token that is being rotated (401).
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
    """One cluster's API. `access` has its address and credentials."""

    access: ClusterAccess

    async def list(self, path: str, **query: str) -> AsyncIterator[Object]:
        """Reads the objects under a path, page by page. Raises ClusterError."""
        token = ""
        while True:
            # A token of a slow list expires with etcd's compaction (410, HasChanged); callers then read from the start.
            paging = {"limit": str(PAGE_ITEMS), **({"continue": token} if token else {})}
            page = await self._call("GET", path, params={**query, **paging})
            for item in page.get("items", ()):
                yield item
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def get(self, path: str) -> Object:
        """Reads one object. Raises ClusterError."""
        return await self._call("GET", path)

    async def patch(self, path: str, change: Object) -> Object:
        """Applies a merge patch: it replaces lists, and None removes a field. Returns the metadata only.

        Raises ClusterError.
        """
        return await self._call("PATCH", path, data=json.dumps(change), headers=PATCH_HEADERS)

    async def create(self, path: str, body: Object) -> Object:
        """Creates an object. Raises ClusterError."""
        return await self._call("POST", path, json=body)

    async def put(self, path: str, body: Object) -> Object:
        """Creates an object under this path, if its kind allows that. Raises ClusterError, also if there is one."""
        return await self._call("PUT", path, json=body)

    async def delete(self, path: str, *, uid: str) -> None:
        """Deletes the object, unless another one has its name by now. Raises ClusterError."""
        await self._call("DELETE", path, json={"preconditions": {"uid": uid}})

    @asynccontextmanager
    async def watching(self, path: str, **query: str) -> AsyncIterator[AsyncIterator[str]]:
        """Opens a watch, which yields the type of each change from now on, and ends after some minutes.

        Raises ClusterError, also while the changes are read.
        """
        options = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS), **query}
        try:
            async with self.access.session.get(
                f"{self.access.server}{path}", params=options, headers=WATCH_HEADERS, timeout=WATCH_TIMEOUT
            ) as answer:
                if not answer.ok:
                    raise _failure(answer.status, await _json(answer))
                yield _changes(answer.content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(error) from error

    async def _call(self, method: str, path: str, **options: Any) -> Object:
        try:
            async with self.access.session.request(method, f"{self.access.server}{path}", **options) as answer:
                body = await _json(answer)
                if answer.ok:
                    return dict(body)
                raise _failure(answer.status, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: JSON that was cut off
            raise _unreachable(error) from error


def _failure(status: int, body: Object) -> ClusterError:
    reason = str(body.get("reason") or f"Http{status}")
    message = str(body.get("message") or f"The API server answered {status}.")
    return KINDS.get(status, ClusterUnavailable)(reason, message)


def _unreachable(error: Exception) -> ClusterUnavailable:
    return ClusterUnavailable("Unreachable", f"The API server does not answer ({type(error).__name__}).")


async def _json(answer: aiohttp.ClientResponse) -> Object:
    # A proxy in between answers in HTML or plain text.
    found = await answer.json(content_type=None) if answer.content_type == "application/json" else {}
    return dict(found or {})


async def _changes(stream: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Yields the types of a watch's events, without bookmarks, which only show that the watch lives."""
    rest = b""
    async for chunk in stream.iter_any():  # not by lines: aiohttp refuses long ones
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            event = json.loads(line)
            if event["type"] == "ERROR":  # 410 for example: the watch is too far behind
                status = event.get("object", {})
                raise _failure(int(status.get("code") or 500), status)
            if event["type"] != "BOOKMARK":
                yield str(event["type"])
