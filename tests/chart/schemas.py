"""Schemas for kubeconform: those of Kubernetes by minor version, and those of objects that CRDs define."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

KUBERNETES = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
DEFINITIONS = "_definitions.json"
LOCATIONS = (
    "{folder}/{{{{ .NormalizedKubernetesVersion }}}}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json",
    "{folder}/crds/{{{{ .Group }}}}/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json",
)


def write_schemas(folder: Path, *, minors: Sequence[str], crds: Sequence[Path]) -> list[str]:
    """Writes the strict schemas into the folder, and returns the options of kubeconform that name them."""
    for minor in minors:
        _copy_minor(KUBERNETES / f"v{minor}.0-local-strict", folder / f"v{minor}.0")
    for crd in crds:
        for path, schema in _of_crd(yaml.safe_load(crd.read_text(encoding="utf-8"))):
            target = folder / "crds" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(schema), encoding="utf-8")
    return [option for location in LOCATIONS for option in ("-schema-location", location.format(folder=folder))]


def _copy_minor(source: Path, target: Path) -> None:
    """Copies the schemas without their `$id`, so that references lead to the definitions in the same folder."""
    target.mkdir(parents=True)
    for file in source.glob("*.json"):
        schema = json.loads(file.read_text(encoding="utf-8").replace(f'"/api/{DEFINITIONS}#', f'"{DEFINITIONS}#'))
        schema.pop("$id", None)
        (target / file.name).write_text(json.dumps(schema), encoding="utf-8")


def _of_crd(crd: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = crd["spec"]["names"]["kind"].lower()
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
        yield f"{crd['spec']['group']}/{kind}_{version['name']}.json", _closed(schema)


def _closed(schema: Any) -> Any:
    """Refuses fields that a schema does not name. The API server would only prune them."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _closed(part) for name, part in schema.items()}
    open_ended = inner.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in inner
    if inner.get("type") == "object" and isinstance(inner.get("properties"), dict) and not open_ended:
        inner["additionalProperties"] = False
    if inner.get("x-kubernetes-int-or-string"):
        inner.pop("type", None)
    return inner
