"""The names of the simulator's models: one list, repeated where the simulator takes the place of the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from app.llm.chains import parse_chain
from app.llm.simulated_models import CHAINS, SIMULATED_MODELS
from app.settings import LLMSettings
from app.simulator.scripted_faults import NO_FAULT, ScriptedFaults

ROOT = Path(__file__).parents[3]
FIELDS = {str(field.validation_alias): field for field in LLMSettings.model_fields.values()}


def worker_environment(file: str) -> dict[str, str]:
    environment: dict[str, str] = yaml.safe_load((ROOT / file).read_text())["services"]["worker"]["environment"]
    return environment


def test_every_chain_has_its_models() -> None:
    assert set(CHAINS) == {name for name in FIELDS if name.endswith("_MODEL")}
    assert {hop.model for chain in CHAINS.values() for hop in parse_chain(chain)} <= SIMULATED_MODELS


@pytest.mark.parametrize("model", sorted(SIMULATED_MODELS))
def test_no_name_asks_for_a_fault(model: str) -> None:
    assert ScriptedFaults().plan(provider="openai", model=model, header="", task_id="t") is NO_FAULT


def test_compose_names_them_and_real_models_replace_them() -> None:
    simulated = worker_environment("compose.yaml")
    assert {name: simulated[name] for name in CHAINS} == CHAINS
    real = worker_environment("compose.models.yaml")
    # An empty variable takes the default; of the fallback it means none, so only a missing one does.
    wanted = {name: f"${{{name}:-}}" for name in CHAINS}
    wanted["AGENT_FALLBACK_MODEL"] = f"${{AGENT_FALLBACK_MODEL-{FIELDS['AGENT_FALLBACK_MODEL'].default}}}"
    assert {name: real[name] for name in CHAINS} == wanted


def test_the_chart_names_them() -> None:
    template = (ROOT / "charts/agent-orchestrator/templates/_pod.tpl").read_text()
    simulated = re.search(r'define "ao.simulated" -}}(.*?)\n{{- end -}}\n{{- end -}}', template, re.DOTALL)
    assert simulated is not None
    named = dict(re.findall(r"^([A-Z_]+_MODEL): (\S+)$", simulated[1], re.MULTILINE))
    assert named == CHAINS
