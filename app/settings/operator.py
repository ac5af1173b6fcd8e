"""Settings of the Kubernetes operator and its autoscaler."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from app.settings.group import CommaList, SettingsGroup, split
from app.settings.urls import check_http_url


class OperatorSettings(SettingsGroup):
    """The operator's access to the API, its scope in the cluster, and its autoscaler."""

    api_url: str = Field(
        default="http://127.0.0.1:8080",
        validation_alias="AGENT_OPERATOR_API_URL",
        description="Address of the REST API, as the operator reaches it.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="AGENT_OPERATOR_API_KEY",
        description="Key with the role service; not needed if the API requires no keys.",
    )
    api_key_file: Path | None = Field(
        default=None,
        validation_alias="AGENT_OPERATOR_API_KEY_FILE",
        description="File with the key, re-read when it changes; it takes precedence over AGENT_OPERATOR_API_KEY.",
    )
    namespaces: CommaList = Field(
        default=(),
        validation_alias="AGENT_OPERATOR_NAMESPACES",
        description="Namespaces whose AgentTasks are served, comma-separated. Unset: all.",
    )
    cluster_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,63}$",
        validation_alias="AGENT_OPERATOR_CLUSTER_NAME",
        description="Distinguishes clusters that share an API. Unset: made from the cluster's certificate authority.",
    )
    identity: str = Field(
        default="operator",
        pattern=r"^[A-Za-z0-9_./-]{1,253}$",
        validation_alias="AGENT_OPERATOR_IDENTITY",
        description="Name of the release in the Leases of its namespaces. It serves none that another release holds.",
    )
    finalizer: bool = Field(
        default=True,
        validation_alias="AGENT_OPERATOR_FINALIZER",
        description=(
            "Whether an unfinished AgentTask has a finalizer, so that its deletion waits until its task is cancelled. "
            "`false` also removes the finalizers that are there."
        ),
    )
    worker_deployment: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}$",
        validation_alias="AGENT_OPERATOR_WORKER_DEPLOYMENT",
        description="namespace/name of the workers' Deployment, which the autoscaler scales. Unset: none.",
    )
    autoscaler_policy: str = Field(
        default="",
        validation_alias="AGENT_AUTOSCALER_POLICY",
        description="Settings of the autoscaler, such as `min_replicas=2 max_replicas=20`; see docs/autoscaling.md.",
    )
    host: str = Field(
        default="127.0.0.1",
        validation_alias="AGENT_OPERATOR_HOST",
        description="Address of the operator's /metrics and health probe.",
    )
    port: int = Field(
        default=9110,
        ge=1024,
        le=65535,
        validation_alias="AGENT_OPERATOR_PORT",
        description="Port of the operator's /metrics and health probe.",
    )

    _split_lists = field_validator("namespaces", mode="before")(split)
    _check_address = field_validator("api_url")(check_http_url)
