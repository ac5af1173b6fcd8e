"""The chart's README is made from its values."""

from __future__ import annotations

import subprocess

from tests.chart.rendering import CHART
from tests.support.toolchain import built


def test_the_readme_tells_of_the_values_as_they_are() -> None:
    made = subprocess.run(  # noqa: S603  helm-docs, with arguments of this test
        [str(built("charts") / "helm-docs"), "--chart-search-root", str(CHART.parent), "--dry-run"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout.strip() == (CHART / "README.md").read_text().strip(), "make docs writes it anew"


def test_the_guide_to_upgrades_knows_this_version() -> None:
    version = (CHART / "Chart.yaml").read_text().partition("\nversion: ")[2].partition("\n")[0]
    assert f" to {version.rpartition('.')[0]}\n" in (CHART / "UPGRADE.md").read_text()
