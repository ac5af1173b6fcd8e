"""The fleet between its changes: it is read again only if a watch shows that the Deployment or a pod has changed.

The watches are only signals. What has changed is always read from the API server as a whole, so no events are merged
into a memory that could differ from it. While one of the watches is not open, such as before the operator has the right
to watch, each question is a read.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent_operator.autoscaler.fleet import Deployment, Fleet
from agent_operator.kube.cluster import ClusterError, NotAllowed
from app.telemetry.logs import get_logger

RETRY_SECONDS = 1.0
FORBIDDEN_RETRY_SECONDS = 60.0

_log = get_logger(__name__)


class FleetWatch:
    """The last look at the fleet of one Deployment, and the watches that end it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._fleet: Fleet | None = None
        self._changes = 0
        self._deployment_is_watched = False
        self._watched_pods: str | None = None
        self._pods: str | None = None
        self._pods_known = asyncio.Event()
        self._reported: dict[str, str] = {}

    async def read(self, *, fresh: bool = False) -> Fleet:
        """Returns the fleet: from memory if nothing has changed, and it need not be `fresh`. Raises ClusterError."""
        if self._fleet is not None and not fresh and self._is_watched(self._fleet):
            return self._fleet
        before = self._changes
        fleet = await self._deployment.read()
        self._pods = fleet.selector
        self._pods_known.set()
        # What has changed during the read may be in it or not.
        self._fleet = replace(fleet, fresh=False) if before == self._changes else None
        return fleet

    def forget(self) -> None:
        """Has the next question read the fleet again, because it has changed, or may have."""
        self._changes += 1
        self._fleet = None

    async def run(self) -> None:
        """Watches the Deployment and its pods until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_deployment())
            group.create_task(self._watch_pods())

    def _is_watched(self, fleet: Fleet) -> bool:
        # A Deployment that was created again may select other pods.
        return self._deployment_is_watched and self._watched_pods == fleet.selector

    async def _watch_deployment(self) -> None:
        while True:
            try:
                async with self._deployment.watching() as changes:
                    self._deployment_is_watched = True
                    self._reported.pop("deployment", None)
                    self.forget()  # what has changed before is not among the changes
                    async for _ in changes:
                        self.forget()
            except ClusterError as error:
                await self._rest_after(error, "deployment")
            finally:
                self._deployment_is_watched = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch_pods(self) -> None:
        while True:
            await self._pods_known.wait()
            selector = self._pods or ""
            try:
                async with self._deployment.watching_pods(selector) as changes:
                    self._watched_pods = selector
                    self._reported.pop("pods", None)
                    self.forget()
                    async for _ in changes:
                        self.forget()
            except ClusterError as error:
                await self._rest_after(error, "pods")
            finally:
                self._watched_pods = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _rest_after(self, error: ClusterError, what: str) -> None:
        if self._reported.get(what) != error.reason:  # an outage is one line, not one each second
            self._reported[what] = error.reason
            _log.info("fleet_not_watched", what=what, reason=error.reason)
        if isinstance(error, NotAllowed):  # an older Role; each tick reads the fleet until it is replaced
            await asyncio.sleep(FORBIDDEN_RETRY_SECONDS)
