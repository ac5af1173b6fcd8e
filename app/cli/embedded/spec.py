"""The plan of a stack as the supervisor reads it: the children, and the probe of each.

The plan is a JSON file, so that the supervisor needs neither the settings nor pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["api", "worker", "valkey", "mongo", "simulator"]
Probe = Literal["tcp", "ping", "http"]


@dataclass(frozen=True)
class ChildSpec:
    """One child process. `environment` is added to the supervisor's own; `needs` names the children to wait for.

    `program` names the program where several can do the work.
    """

    name: str
    kind: Kind
    command: Sequence[str]
    url: str
    port: int
    probe: Probe
    path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()
    program: str = ""


@dataclass(frozen=True)
class StackPlan:
    """All children, in the order of their start. `simulated` names the providers that the simulator replaces.

    `ready_text` is printed on the terminal once everything is ready.
    """

    api_url: str
    children: Sequence[ChildSpec]
    simulator_url: str | None = None
    simulated: Sequence[str] = ()
    ready_text: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        path.chmod(0o600)

    @classmethod
    def read(cls, path: Path) -> StackPlan:
        document = json.loads(path.read_text(encoding="utf-8"))
        children = [ChildSpec(**child) for child in document.pop("children")]
        return cls(**document, children=children)
