"""The page docs/agenttask.md is generated from the CRD of this version."""

from __future__ import annotations

from pathlib import Path

import yaml

from agent_operator.crd_reference import render

ROOT = Path(__file__).parents[3]


def test_the_page_is_the_one_that_the_crd_makes() -> None:
    crd = yaml.safe_load((ROOT / "charts/agent-orchestrator/files/crds/agenttasks.yaml").read_text())

    assert (ROOT / "docs" / "agenttask.md").read_text() == render(crd), "run `make docs`"
