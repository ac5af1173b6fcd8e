"""The shifts of the operator: the time in which one of its processes serves a namespace. A Lease in each namespace
names the release that serves it, and lists the release's shifts.

Two releases have an API each, and would run every task of a namespace twice. So a namespace whose Lease another release
holds is not served.

Each submission carries the id of its shift and the uid of the namespace. A task belongs to an object of this namespace
only if that uid is right, the Lease lists the shift, and the task was queued before the end of the shift. So tasks of a
namespace that had the name before, or has it in another cluster, are none of its own; nor are those that are newer than
the snapshot from which etcd was restored, because the list was restored with it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from weakref import WeakValueDictionary

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent_operator.agenttasks.restart import RestartNeeded
from agent_operator.kube.cluster import ClusterError, ClusterUnavailable, HasChanged, NotAllowed, NotThere, Object
from agent_operator.kube.leases import RENEW_SECONDS, Lease, Leases, Sightings
from agent_operator.rest.task_state import TaskState
from app.ports import Clock
from app.telemetry.logs import get_logger

CONFLICT_TRIES = 5
# Earlier shifts that the Lease lists: one for each start of the operator. Tasks of a shift that it no longer lists are
# never cancelled as orphans.
MOST_SHIFTS = 20
# Between the end of a shift and the queueing of its tasks: the database has another clock than the operator.
MARGIN = timedelta(seconds=60)
# Several cancels in a row need one confirmation. A restore of etcd takes longer.
CONFIRMED_SECONDS = 1.0
# Objects share one try to take a Lease that was refused, with the renewals, too: a webhook may let each try hang.
RETRY_SECONDS = RENEW_SECONDS
SHORTEST_STEP = timedelta(milliseconds=1)
LEASE_IS_GONE = "lease_is_gone"

_log = get_logger(__name__)


class Shift(BaseModel):
    """The shift of one process of the operator. `renewed_at` is the time of its last renewal, by its own clock.

    `began_at` is None if an operator of an earlier version wrote it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    renewed_at: AwareDatetime
    began_at: AwareDatetime | None = None

    @property
    def brief(self) -> bool:
        """True if it ended too early to cover any task."""
        return self.began_at is not None and self.renewed_at - MARGIN <= self.began_at


class ShiftRecord(BaseModel):
    """The shifts that a Lease lists, oldest first, and the uid of the namespace that they are for."""

    model_config = ConfigDict(frozen=True)

    namespace_uid: str
    shifts: tuple[Shift, ...]


@dataclass
class Held:
    """A namespace whose Lease this process has. `others` are the further shifts that the Lease lists.

    `resumed_at`: when a new shift began, because somebody had deleted the Lease.
    """

    namespace_uid: str
    shift: Shift
    others: tuple[Shift, ...]
    lease: Lease
    confirmed_at: float = float("-inf")
    resumed_at: float = float("-inf")
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shifts:
    """The shifts of this process. `foreign` are the Leases of the namespaces that other releases hold."""

    def __init__(self, leases: Leases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._sightings = Sightings(clock)
        self._refused: dict[str, float] = {}  # when each was refused last
        self._on_demand = False
        # One lock for each namespace, as long as somebody uses it: a try that hangs must not hold up other namespaces.
        self._beginning: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.namespaces: tuple[str, ...] = ()
        self.foreign: dict[str, Lease] = {}

    async def begin_all(self, namespaces: Sequence[str]) -> tuple[str, ...]:
        """Takes the Leases of these namespaces; returns those that no other release holds.

        Without any, all namespaces are served, and `may_serve` takes the Lease of each at its first object. Raises
        ClusterUnavailable while a Lease cannot be read.
        """
        self.namespaces = tuple(namespaces)
        self._on_demand = not namespaces
        for namespace in namespaces:
            await self._begin(namespace)
        return tuple(namespace for namespace in namespaces if namespace not in self.foreign)

    async def may_serve(self, namespace: str) -> bool:
        """Checks that no other release holds the namespace. Raises ClusterUnavailable while that cannot be told."""
        if self._on_demand and self._must_begin(namespace):
            async with self._beginning.setdefault(namespace, asyncio.Lock()):
                if self._must_begin(namespace):
                    await self._begin_and_list(namespace)
        return namespace not in self.foreign

    async def renew(self, namespace: str) -> None:
        """Renews the Lease, or tries again to take it. Raises ClusterError, RestartNeeded."""
        held = self._held.get(namespace)
        if held is not None:
            async with held.writing:
                try:
                    await self._renew(namespace, held)
                except RestartNeeded as needed:
                    if needed.reason != LEASE_IS_GONE:
                        raise
                    await self._continue(namespace, held, needed)
            return
        was_foreign = namespace in self.foreign
        async with self._beginning.setdefault(namespace, asyncio.Lock()):
            if namespace not in self._held:  # an object may have come first
                await self._begin_and_list(namespace)
        if namespace in self.namespaces and (namespace in self.foreign) != was_foreign:
            raise RestartNeeded("namespace_is_free" if was_foreign else "namespace_held_by_another", namespace)

    async def confirm(self, namespace: str) -> bool:
        """Checks, by a renewal, that the objects shown now are of the history in which the shift began.

        Returns False if the namespace is served without a Lease. Raises ClusterError.
        """
        held = self._held.get(namespace)
        if held is None:
            return False
        async with held.writing:
            if self._clock.monotonic() - held.confirmed_at >= CONFIRMED_SECONDS:
                try:
                    await self._renew(namespace, held)
                except RestartNeeded as needed:  # the next renewal finds the same, and restarts the operator
                    raise ClusterUnavailable("ShiftLost", str(needed)) from needed
        return True

    async def is_ending(self, namespace: str) -> bool:
        """Checks whether this very namespace is being deleted, or is gone. Raises ClusterError."""
        try:
            metadata = (await self._read_namespace(namespace))["metadata"]
        except (NotAllowed, NotThere):  # the rights in it end with it
            return True
        held = self._held.get(namespace)
        return "deletionTimestamp" in metadata and (held is None or held.namespace_uid == metadata["uid"])

    def resumed_since(self, namespace: str, moment: float) -> bool:
        """Checks whether a deleted Lease has ended the shift since then: what was known before is not confirmed."""
        held = self._held.get(namespace)
        return held is not None and held.resumed_at > moment

    def source_of(self, namespace: str) -> dict[str, str]:
        """Returns the part of a submission that names namespace and shift; empty without a Lease."""
        held = self._held.get(namespace)
        return {} if held is None else {"namespace_uid": held.namespace_uid, "shift": held.shift.id}

    def covers(self, task: TaskState) -> bool:
        """Checks whether the task was submitted for an object of this namespace, in the history that etcd has now."""
        held = self._held.get(task.source.namespace or "")
        if held is None or task.source.namespace_uid != held.namespace_uid:
            return False
        if task.source.shift == held.shift.id:
            return True
        return any(
            other.id == task.source.shift and task.queued_at < other.renewed_at - MARGIN for other in held.others
        )

    def _must_begin(self, namespace: str) -> bool:
        """Checks whether the next object must try to take the Lease.

        A refused namespace is tried again: it may have been deleted and created again meanwhile, and be another
        release's by now.
        """
        if namespace in self._held or namespace in self.foreign:
            return False
        return self._clock.monotonic() - self._refused.get(namespace, float("-inf")) >= RETRY_SECONDS

    async def _begin_and_list(self, namespace: str) -> None:
        """Tries to take the Lease, and lists the namespace for the renewals unless it is gone."""
        await self._begin(namespace)
        exists = namespace in self._held or namespace in self.foreign or namespace in self._refused
        if exists and namespace not in self.namespaces:
            self.namespaces = (*self.namespaces, namespace)

    async def _begin(self, namespace: str) -> None:
        for _ in range(CONFLICT_TRIES):
            try:
                lease = await self._leases.read(namespace)
            except ClusterUnavailable:
                raise  # without this answer it is unknown whose the namespace is
            except ClusterError as refusal:
                self._record_refusal(namespace, refusal)
                return
            if self._is_foreign(namespace, lease):
                return
            try:
                await self._take(namespace, lease)
            except HasChanged:
                continue  # another operator was faster: its Lease decides
            except NotThere as missing:
                if lease is not None:
                    continue  # the Lease was deleted, alone or with its namespace
                self._record_missing(namespace, missing)
            except ClusterError as refusal:  # missing rights, or a webhook that denies or does not answer
                self._record_refusal(namespace, refusal)
            return
        raise ClusterUnavailable("Conflict", f"The Lease of {namespace} changed {CONFLICT_TRIES} times.")

    def _is_foreign(self, namespace: str, lease: Lease | None) -> bool:
        if lease is None or lease.holder in ("", self._leases.identity):
            return False
        if self._sightings.has_run_out(namespace, lease):
            return False
        self.foreign[namespace] = lease
        return True

    async def _take(self, namespace: str, lease: Lease | None) -> None:
        uid = str((await self._read_namespace(namespace))["metadata"]["uid"])
        shift = self._new_shift()
        earlier = self._earlier(lease, uid)
        note = _note(uid, (*earlier, shift))
        taken = await self._leases.write(namespace, lease, note=note, now=shift.renewed_at)
        self._held[namespace] = Held(uid, shift, earlier, taken)
        self._sightings.forget(namespace)
        self.foreign.pop(namespace, None)
        self._refused.pop(namespace, None)

    async def _continue(self, namespace: str, held: Held, needed: RestartNeeded) -> None:
        """Begins a new shift after the Lease has gone; of all namespaces, forgets one that has gone itself."""
        try:
            await self._resume(namespace, held, needed)
        except NotThere:
            if not self._on_demand:
                raise
            self._forget(namespace)

    async def _resume(self, namespace: str, held: Held, needed: RestartNeeded) -> None:
        """Begins a new shift after somebody has deleted the Lease. Raises RestartNeeded for another namespace."""
        metadata = (await self._read_namespace(namespace))["metadata"]
        if metadata["uid"] != held.namespace_uid:
            raise needed
        if "deletionTimestamp" in metadata:
            raise ClusterUnavailable("NamespaceTerminating", f"The namespace {namespace} is being deleted.")
        shift = self._new_shift()
        note = _note(held.namespace_uid, (shift,))
        held.lease = await self._leases.write(namespace, None, note=note, now=shift.renewed_at)
        held.shift, held.others, held.resumed_at = shift, (), self._clock.monotonic()
        _log.warning("lease_was_deleted", namespace=namespace, consequence="a new shift has begun")

    def _new_shift(self) -> Shift:
        now = self._clock.now()
        return Shift(id=str(uuid.uuid4()), renewed_at=now, began_at=now)

    async def _read_namespace(self, namespace: str) -> Object:
        return await self._leases.cluster.get(f"/api/v1/namespaces/{namespace}")

    def _earlier(self, lease: Lease | None, namespace_uid: str) -> tuple[Shift, ...]:
        """Returns the shifts of earlier processes of this release on this very namespace.

        A backup restores the Lease into a namespace with another uid.
        """
        record = None if lease is None or lease.holder != self._leases.identity else _parse(lease)
        if record is None or record.namespace_uid != namespace_uid:
            return ()
        return _bounded(record.shifts)

    def _record_missing(self, namespace: str, missing: NotThere) -> None:
        if self._on_demand:
            self._forget(namespace)
        else:
            self._record_refusal(namespace, missing)

    def _forget(self, namespace: str) -> None:
        """Forgets a namespace that is gone: one that is created with its name begins at its first object."""
        self.namespaces = tuple(other for other in self.namespaces if other != namespace)
        self._held.pop(namespace, None)
        self.foreign.pop(namespace, None)
        self._refused.pop(namespace, None)
        self._sightings.forget(namespace)

    def _record_refusal(self, namespace: str, refusal: ClusterError) -> None:
        """Logs once that the namespace is served without a Lease, as by operators of versions before."""
        known = namespace in self._refused
        self._refused[namespace] = self._clock.monotonic()
        if not known:
            advice = "tasks whose AgentTask is gone are not cancelled"
            if isinstance(refusal, NotAllowed):
                advice += "; the Role lacks rights on namespaces and leases"
            _log.warning("namespace_not_leased", namespace=namespace, reason=refusal.reason, consequence=advice)

    async def _renew(self, namespace: str, held: Held) -> None:
        for _ in range(CONFLICT_TRIES):
            # Grows even if the clock was set back: a restored etcd is found by an older time.
            now = max(self._clock.now(), held.shift.renewed_at + SHORTEST_STEP)
            renewed = held.shift.model_copy(update={"renewed_at": now})
            note = _note(held.namespace_uid, (*held.others, renewed))
            try:
                held.lease = await self._leases.write(namespace, held.lease, note=note, now=now)
            except (HasChanged, NotThere):
                await self._read_again(namespace, held)
                continue
            held.shift, held.confirmed_at = renewed, self._clock.monotonic()
            return
        raise ClusterUnavailable("Conflict", f"The Lease of {namespace} changed {CONFLICT_TRIES} times.")

    async def _read_again(self, namespace: str, held: Held) -> None:
        """Reads what somebody else has written. Raises RestartNeeded if the namespace is no longer this process's."""
        lease = await self._leases.read(namespace)
        if lease is None:  # deleted, with its namespace or alone, or an etcd was restored that had no Lease yet
            raise RestartNeeded(LEASE_IS_GONE, namespace)
        if lease.holder != self._leases.identity:
            raise RestartNeeded("namespace_held_by_another", namespace)
        record = _parse(lease)
        shifts = () if record is None else record.shifts
        mine = next((shift for shift in shifts if shift.id == held.shift.id), None)
        if mine is None:  # etcd was restored, or many other processes of this release have begun since
            raise RestartNeeded("shift_is_not_listed", namespace)
        if mine.renewed_at < held.shift.renewed_at:
            raise RestartNeeded("etcd_was_restored", namespace)
        held.lease, held.shift = lease, mine  # a write without an answer may have made it newer
        held.others = tuple(shift for shift in shifts if shift.id != held.shift.id)


def _bounded(shifts: tuple[Shift, ...]) -> tuple[Shift, ...]:
    """Returns the last `MOST_SHIFTS` of them. Brief ones go first: a crash loop must not push out the others."""
    excess = max(0, len(shifts) - MOST_SHIFTS)
    dropped = {shift.id for shift in [shift for shift in shifts if shift.brief][:excess]}
    return tuple(shift for shift in shifts if shift.id not in dropped)[-MOST_SHIFTS:]


def _note(namespace_uid: str, shifts: tuple[Shift, ...]) -> str:
    return ShiftRecord(namespace_uid=namespace_uid, shifts=shifts).model_dump_json()


def _parse(lease: Lease) -> ShiftRecord | None:
    try:
        return ShiftRecord.model_validate_json(lease.note)
    except ValidationError:  # it was made or edited by somebody else
        return None
