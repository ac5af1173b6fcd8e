"""Identifiers and owners.

Ids are opaque strings; `TaskId` and `SessionId` are UUIDs in their canonical text form.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

TaskId = NewType("TaskId", str)
SessionId = NewType("SessionId", str)
Tenant = NewType("Tenant", str)
ClaimId = NewType("ClaimId", str)
RequestId = NewType("RequestId", str)

DEFAULT_TENANT = Tenant("default")


class Role(StrEnum):
    """The rights of a key: a client works on its own tenant, a service acts for any, an admin runs the system."""

    CLIENT = "client"
    SERVICE = "service"
    ADMIN = "admin"
