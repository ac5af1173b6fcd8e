"""The plan of a soak: its tasks and waves, how often each kind of victim is killed, and how often Redis is full."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VICTIMS = ("worker", "broker", "store", "api")
FULL_REDIS = "full Redis"


@dataclass(frozen=True)
class SoakPlan:
    """The size of a soak. `kills` counts, for each kind of victim, the SIGKILLs in the whole soak.

    Redis is full `fills` times, for `fill_seconds` each. In each wave every task whose number `large_every` divides has
    a large result; with 0 none has.
    """

    tasks: int
    waves: int
    kills: Mapping[str, int]
    fills: int = 0
    fill_seconds: float = 20
    large_every: int = 0
    seed: int = 1

    def wave_sizes(self) -> list[int]:
        return [len(range(number, self.tasks, self.waves)) for number in range(self.waves)]

    def is_large(self, number: int) -> bool:
        """Returns whether the task with this number in its wave, from 1 on, has a large result."""
        return self.large_every > 0 and number % self.large_every == 0

    def faults_of_wave(self, wave: int) -> list[tuple[int, str]]:
        """Returns the wave's faults in order: the number of ended tasks before each, and its victim or FULL_REDIS."""
        size = self.wave_sizes()[wave]
        dice = random.Random(f"{self.seed}:{wave}")
        struck = [
            (dice.randrange(size), fault)
            for fault, times in [*((victim, self.kills.get(victim, 0)) for victim in VICTIMS), (FULL_REDIS, self.fills)]
            for _ in range(len(range(wave, times, self.waves)))
        ]
        return sorted(struck)


@dataclass
class Wave:
    """The observations of one wave.

    `ends` counts statuses, and codes of errors in place of `failed`; `kills` hit processes that were ready; `fills` are
    the times that Redis was full; `large` counts the large results; `reruns` are claims beyond a task's first.
    """

    number: int
    tasks: int
    seconds: float
    ends: Mapping[str, int]
    kills: Mapping[str, int]
    fills: int
    large: int
    reruns: int
    crashes: int
    calls: int
    calls_recorded: int
    violations: list[str]
    commit: str


@dataclass
class Progress:
    """The waves that are done. They are kept in a file, so that a soak that was broken off resumes."""

    plan: SoakPlan
    waves: list[Wave] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, plan: SoakPlan) -> Progress:
        """Reads the progress from the file, or begins it. Raises ValueError if the file belongs to another plan."""
        if not path.exists():
            return cls(plan)
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept["plan"] != asdict(plan):
            raise ValueError(f"{path} belongs to another soak: {kept['plan']}; choose another folder or remove it")
        return cls(plan, [Wave(**wave) for wave in kept["waves"]])

    def save(self, path: Path) -> None:
        """Writes the file at once or not at all."""
        written = path.with_suffix(".new")
        written.write_text(json.dumps(asdict(self), indent=1))
        written.replace(path)

    def remaining(self) -> Iterator[int]:
        return iter(range(len(self.waves), self.plan.waves))

    def total(self, name: str) -> Any:
        values = [getattr(wave, name) for wave in self.waves]
        if values and isinstance(values[0], Mapping):
            return dict(sum((Counter(value) for value in values), Counter()))
        return sum(values, [] if name == "violations" else 0)
