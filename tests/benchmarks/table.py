"""The printed table: figure, target, and the ratio to a baseline of the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure. `target` is its upper limit, `baseline` the same figure of the system that it is compared with."""

    name: str
    value: float
    unit: str
    target: float | None = None
    baseline: float | None = None


def render(rows: list[Row], *, against: str = "bare Celery") -> str:
    """Renders the rows as a Markdown table. `against` names the baseline."""
    lines = [f"| figure | measured | target | {against} | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        target = "" if row.target is None else f"≤ {row.target:g} {row.unit}{_verdict(row)}"
        baseline = "" if row.baseline is None else f"{row.baseline:.2f} {row.unit}"
        ratio = "" if not row.baseline else f"{row.value / row.baseline:.2f}"
        lines.append(f"| {row.name} | {row.value:.2f} {row.unit} | {target} | {baseline} | {ratio} |")
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    return " ✓" if row.target is not None and row.value <= row.target else " ✗"


def percentile(values: list[float], share: float) -> float:
    """Returns the value that `share` (0 to 1) of the values do not exceed, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]
