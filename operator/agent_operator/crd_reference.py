"""The generator of docs/agenttask.md from the descriptions in the CRD: `python -m agent_operator.crd_reference CRD`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Schema = Mapping[str, Any]
INTRODUCTION = """\
# AgentTask

A task in plain language as a Kubernetes object; [operator.md](operator.md) describes what the operator does with it.
`make docs` generates this page from the CRD, so `kubectl explain agenttask.spec` shows the same texts.

```yaml
apiVersion: agentorchestrator.dev/v1alpha1
kind: AgentTask
metadata:
  name: article
spec:
  task: Write a short article about tides, with sources.
```

```
kubectl get agenttasks
kubectl wait --for=condition=Succeeded at/article --timeout=120s
kubectl describe at/article
kubectl patch at/article --type=merge -p '{"spec":{"cancel":true}}'
```
"""
_BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {:,} characters",
    "minimum": "≥ {:,}",
    "maximum": "≤ {:,}",
    "maxProperties": "at most {} entries",
    "maxItems": "at most {} items",
}


def render(crd: Schema) -> str:
    """Renders the page. Raises KeyError if the document is not a CRD."""
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = [INTRODUCTION]
    for name in ("spec", "status"):
        part = schema["properties"][name]
        parts.append(f"\n## {name}\n\n{part['description']}\n")
        parts.append("\n| field | type | default | what it is |\n|---|---|---|---|\n")
        parts += [f"{row}\n" for row in _rows(part, "")]
    parts.append("\n## What is refused\n\n")
    parts += [f"- {message}\n" for message in _messages(schema)]
    return "".join(parts)


def _rows(schema: Schema, path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}".lstrip(".")
        default = f"`{str(field['default']).lower()}`" if "default" in field else ""
        yield f"| `{where}` | {_kind(field)} | {default} | {field['description']} |"
        yield from _rows(field, where)
        if field["type"] == "array":
            yield from _rows(field["items"], f"{where}[]")


def _kind(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    bounds = [text.format(field[bound]) for bound, text in _BOUNDS.items() if bound in field]
    if "pattern" in field:
        bounds.append(f"`{field['pattern']}`".replace("|", "\\|"))
    return ", ".join([field.get("format", field["type"]), *bounds])


def _messages(schema: Schema) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    for field in schema.get("properties", {}).values():
        yield from _messages(field)


def main(arguments: Sequence[str]) -> int:
    (path,) = arguments
    sys.stdout.write(render(yaml.safe_load(Path(path).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
