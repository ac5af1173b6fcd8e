"""The README of the chart is generated from its values."""

from __future__ import annotations

import subprocess

from tests.chart.rendering import CHART
from tests.support.toolchain import built


def test_the_readme_describes_the_current_values() -> None:
    made = subprocess.run(  # noqa: S603  helm-docs, with arguments of this test
        [str(built("charts") / "helm-docs"), "--chart-search-root", str(CHART.parent), "--dry-run"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout.strip() == (CHART / "README.md").read_text().strip(), "run `make docs` to generate it"


def test_the_upgrade_guide_covers_this_version() -> None:
    version = (CHART / "Chart.yaml").read_text().partition("\nversion: ")[2].partition("\n")[0]
    assert f" to {version.rpartition('.')[0]}\n" in (CHART / "UPGRADE.md").read_text()
