"""The CloudFormation template, read from its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfnlint.decode import decode_str

TEMPLATE = Path(__file__).parents[2] / "k8s" / "k3s" / "infrastructure.yaml"


def written() -> dict[str, Any]:
    """Returns the template with its functions in their long form."""
    template, problems = decode_str(TEMPLATE.read_text(encoding="utf-8"))
    assert problems == []
    plain: dict[str, Any] = json.loads(json.dumps(template))
    return plain


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Returns the properties of all resources of a type."""
    resources = written()["Resources"]
    return {name: found["Properties"] for name, found in resources.items() if found["Type"] == kind}


def user_data(values: Mapping[str, str]) -> str:
    """Returns the script of a server's first start, with these values for the references of the stack."""
    _, (head, rest) = of_type("AWS::EC2::Instance")["Server"]["UserData"]["Fn::Base64"]["Fn::Join"]
    text: str = head["Fn::Sub"]
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text.replace("${!", "${") + str(rest)
