"""Every setting of the system, typed, grouped, with its range: the only reader of the environment.

A group is a small model whose fields are single environment variables; `load_settings()` reads them all, from the
environment and then from `.env` in the working directory, and raises one `ConfigurationError` that lists every wrong
value. Secrets are `SecretStr`; a key may also be named by `<NAME>_FILE`, a file that is read on every use, so that a
rotated key needs no restart (`app.llm` does that). docs/configuration.md is generated from the descriptions here.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.fairness import TenantPolicy
from app.errors import ConfigurationError

CommaList = Annotated[tuple[str, ...], NoDecode]


class SettingsGroup(BaseSettings):
    """Base of the groups; an empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
    )


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class Environment(StrEnum):
    DEV = "dev"
    TEST = "test"
    STAGING = "staging"
    PROD = "prod"


class ProcessSettings(SettingsGroup):
    environment: Environment = Field(
        default=Environment.DEV,
        validation_alias="APP_ENV",
        description="Name of the installation; stored with each task and each log line.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        validation_alias="LOG_FORMAT",
        description="`json` for machines, `console` for people; `auto` is console on a terminal.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Base URL of an OTLP/HTTP collector; without it no spans are made.",
    )


class StoreSettings(SettingsGroup):
    uri: SecretStr = Field(
        default=SecretStr("mongodb://127.0.0.1:27017/"),
        validation_alias="MONGO_URI",
        description="MongoDB connection string.",
    )
    database: str = Field(
        default="agent_orchestrator",
        min_length=1,
        max_length=63,
        validation_alias="MONGO_DB_NAME",
        description="Name of the database.",
    )
    timeout_seconds: float = Field(
        default=5.0,
        ge=0.5,
        le=60,
        validation_alias="MONGO_TIMEOUT_SECONDS",
        description="Longest wait for one database operation, in seconds.",
    )


class BrokerSettings(SettingsGroup):
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias="REDIS_URL",
        description="Redis or Valkey for the queue, limits, breakers and presence.",
    )
    celery_broker_url: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_BROKER_URL",
        description="Another Redis for the Celery queue alone; REDIS_URL when not set.",
    )
    celery_result_backend: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_RESULT_BACKEND",
        description="Result backend for tools that need one; off, because results live in MongoDB.",
    )
    queue: str = Field(
        default="agent_tasks",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        validation_alias="AGENT_QUEUE_NAME",
        description="Name of the queue of tickets.",
    )

    @property
    def tickets_url(self) -> SecretStr:
        """The Redis that holds the queue of tickets."""
        return self.celery_broker_url or self.redis_url


class ApiSettings(SettingsGroup):
    host: str = Field(default="127.0.0.1", validation_alias="AGENT_API_HOST", description="Address the API listens on.")
    port: int = Field(
        default=8080, ge=1, le=65535, validation_alias="AGENT_API_PORT", description="Port the API listens on."
    )
    auth: Literal["auto", "on", "off"] = Field(
        default="auto",
        validation_alias="AGENT_API_AUTH",
        description="Whether API keys are required: `auto` asks for them on every address but loopback.",
    )
    bootstrap_service_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        validation_alias="AGENT_BOOTSTRAP_SERVICE_KEY",
        description="First key of role service, ensured at start (at least 32 characters).",
    )
    rate_limit_per_minute: int = Field(
        default=120,
        ge=1,
        le=1_000_000,
        validation_alias="API_RATE_LIMIT_PER_MINUTE",
        description="Requests a minute for one API key, and for one client address.",
    )
    cors_origins: CommaList = Field(
        default=(),
        validation_alias="CORS_ORIGINS",
        description="Origins that browsers may call from, comma-separated; `*` is any.",
    )
    trusted_proxies: CommaList = Field(
        default=(),
        validation_alias="TRUSTED_PROXIES",
        description="Addresses or networks whose X-Forwarded-For is believed, comma-separated.",
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=65_536,
        le=16_777_216,
        validation_alias="AGENT_API_MAX_BODY_BYTES",
        description="Largest request body, in bytes.",
    )
    max_wait_seconds: int = Field(
        default=60,
        ge=1,
        le=600,
        validation_alias="AGENT_API_MAX_WAIT_SECONDS",
        description="Longest `Prefer: wait`, in seconds.",
    )

    _split_lists = field_validator("cors_origins", "trusted_proxies", mode="before")(_split)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        return self.auth == "on" or (self.auth == "auto" and not self.loopback)


class ExecutionSettings(SettingsGroup):
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=600,
        validation_alias="AGENT_LEASE_SECONDS",
        description="How long a claim lasts without a heartbeat, in seconds; heartbeats come every third of it.",
    )
    deadline_seconds: int = Field(
        default=900,
        ge=1,
        le=86_400,
        validation_alias="AGENT_TASK_DEADLINE_SECONDS",
        description="Most processing time of a task over all attempts, in seconds; the cap of a caller's deadline.",
    )
    expiry_seconds: int = Field(
        default=86_400,
        ge=60,
        le=2_592_000,
        validation_alias="AGENT_TASK_EXPIRY_SECONDS",
        description="Age at which an unfinished task fails with EXPIRED, in seconds, counted from its due time.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        validation_alias="AGENT_TASK_MAX_ATTEMPTS",
        description="Crashes, and separately retries, after which a task fails; the default of a caller's number.",
    )
    tenant_max_running: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        validation_alias="AGENT_TENANT_MAX_RUNNING",
        description="Most tasks of one tenant with workers at once; its keys may say otherwise. Unset: no limit.",
    )
    tenant_max_queued: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_TENANT_MAX_QUEUED",
        description="Most queued tasks of one tenant; its keys may say otherwise. Unset: no limit.",
    )
    retry_base_seconds: float = Field(
        default=1.0,
        ge=0.01,
        le=60,
        validation_alias="AGENT_TASK_RETRY_BASE_SECONDS",
        description="Base of the full-jitter backoff between attempts of a task, in seconds.",
    )
    retry_cap_seconds: float = Field(
        default=60.0,
        ge=0.01,
        le=3600,
        validation_alias="AGENT_TASK_RETRY_CAP_SECONDS",
        description="Longest backoff between attempts of a task, in seconds.",
    )
    expected_service_seconds: float = Field(
        default=20.0,
        gt=0,
        le=86_400,
        validation_alias="AGENT_EXPECTED_SERVICE_SECONDS",
        description="Mean time a task takes, in seconds, assumed until one has finished.",
    )
    log_retention_seconds: int = Field(
        default=604_800,
        ge=3_600,
        validation_alias="AGENT_LOG_RETENTION_SECONDS",
        description="How long lifecycle events stay in the `logs` collection, in seconds.",
    )
    history_tokens: int = Field(
        default=4_000,
        ge=0,
        le=200_000,
        validation_alias="AGENT_SESSION_HISTORY_TOKENS",
        description="Most tokens of earlier turns of a session that an agent sees.",
    )

    @property
    def tenant_policy(self) -> TenantPolicy:
        """What holds for a tenant whose keys say nothing else."""
        return TenantPolicy(max_running=self.tenant_max_running, max_queued=self.tenant_max_queued)


class WorkerSettings(SettingsGroup):
    concurrency: int = Field(
        default=64,
        ge=1,
        le=1_000,
        validation_alias="AGENT_WORKER_CONCURRENCY",
        description="Tasks one worker process runs at once.",
    )
    metrics_port: int = Field(
        default=9100,
        ge=1024,
        le=65535,
        validation_alias="AGENT_METRICS_PORT",
        description="Port of the worker's /metrics and health probe.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        validation_alias="AGENT_METRICS_HOST",
        description="Address of the worker's /metrics and health probe.",
    )
    grace_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        validation_alias="AGENT_WORKER_GRACE_SECONDS",
        description="Time SIGTERM leaves running tasks before they are handed back, in seconds.",
    )
    max_memory_mb: int | None = Field(
        default=None,
        ge=64,
        validation_alias="AGENT_WORKER_MAX_MEMORY_MB",
        description="Resident memory, in MB, at which a worker stops as on SIGTERM, to be started anew. Unset: never.",
    )
    name: str | None = Field(
        default=None,
        validation_alias="AGENT_WORKER_NAME",
        description="Name of the worker in presence and leases; the host name when not set.",
    )


class LLMSettings(SettingsGroup):
    peer_model: str = Field(
        default="gpt-4.1-mini", validation_alias="LLM_PEER_MODEL", description="Chain of models of the router."
    )
    content_model: str = Field(
        default="gpt-4.1", validation_alias="LLM_CONTENT_MODEL", description="Chain of models of ContentAgent."
    )
    code_model: str = Field(
        default="gpt-6.1-terra", validation_alias="LLM_CODE_MODEL", description="Chain of models of CodeAgent."
    )
    primary_model: str = Field(
        default="gpt-4.1-mini",
        validation_alias="AGENT_PRIMARY_MODEL",
        description="Chain of models of every agent without one of its own.",
    )
    fallback_model: str = Field(
        default="gpt-6-luna,claude-sonnet-5-5",
        validation_alias="AGENT_FALLBACK_MODEL",
        description="Last hops of every chain.",
    )
    responses_models: CommaList = Field(
        default=("gpt-6*", "*codex*", "*-pro", "*-pro-*", "gpt-5.6-*"),
        validation_alias="AGENT_OPENAI_RESPONSES_MODELS",
        description="Patterns of OpenAI models asked over the responses endpoint: those that call tools only there.",
    )
    timeout_seconds: float = Field(
        default=5.0,
        ge=0.5,
        le=30,
        validation_alias="AGENT_LLM_TIMEOUT_SECONDS",
        description="Longest wait for the first byte of an answer and between two chunks, in seconds.",
    )
    max_tokens: int = Field(
        default=4_000, ge=100, le=32_000, validation_alias="AGENT_MAX_TOKENS", description="Most tokens of one answer."
    )
    openai_calls_at_once: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        validation_alias="AGENT_OPENAI_CALLS_AT_ONCE",
        description="Most calls of OpenAI at once, of all workers together. Unset: no limit.",
    )
    openai_calls_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_OPENAI_CALLS_PER_MINUTE",
        description="Calls of OpenAI a minute, of all workers together; ten seconds' worth may come at once.",
    )
    anthropic_calls_at_once: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        validation_alias="AGENT_ANTHROPIC_CALLS_AT_ONCE",
        description="Most calls of Anthropic at once, of all workers together. Unset: no limit.",
    )
    anthropic_calls_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_ANTHROPIC_CALLS_PER_MINUTE",
        description="Calls of Anthropic a minute, of all workers together; ten seconds' worth may come at once.",
    )
    http_max_retries: int = Field(
        default=3,
        ge=1,
        le=10,
        validation_alias="AGENT_HTTP_MAX_RETRIES",
        description="Tries of one model before the next one of the chain is asked.",
    )
    http_base_backoff_seconds: float = Field(
        default=0.2,
        ge=0.05,
        le=5,
        validation_alias="AGENT_HTTP_BASE_BACKOFF_SECONDS",
        description="Base of the full-jitter backoff between tries, in seconds.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="Key for OpenAI."
    )
    openai_api_key_file: Path | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY_FILE",
        description="File with the key for OpenAI, re-read when it changes.",
    )
    openai_base_url: str | None = Field(
        default=None, validation_alias="OPENAI_BASE_URL", description="Another OpenAI-compatible endpoint."
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias="ANTHROPIC_API_KEY", description="Key for Anthropic."
    )
    anthropic_api_key_file: Path | None = Field(
        default=None,
        validation_alias="ANTHROPIC_API_KEY_FILE",
        description="File with the key for Anthropic, re-read when it changes.",
    )
    anthropic_base_url: str | None = Field(
        default=None, validation_alias="ANTHROPIC_BASE_URL", description="Another Anthropic-compatible endpoint."
    )
    breaker_failures: int = Field(
        default=5,
        ge=1,
        le=1_000,
        validation_alias="AGENT_BREAKER_FAILURES",
        description="Failures in a row that open a circuit breaker.",
    )
    breaker_reset_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=3_600,
        validation_alias="AGENT_BREAKER_RESET_SECONDS",
        description="Time an open breaker waits before one probe, in seconds.",
    )
    price_overrides: Path | None = Field(
        default=None,
        validation_alias="AGENT_PRICES_FILE",
        description="JSON file {model: {input_usd_per_million, output_usd_per_million}} over the price table.",
    )

    _split_lists = field_validator("responses_models", mode="before")(_split)


class SearchSettings(SettingsGroup):
    tavily_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="TAVILY_API_KEY",
        description="Key for Tavily; without it ContentAgent writes without searching and says so.",
    )
    tavily_api_key_file: Path | None = Field(
        default=None,
        validation_alias="TAVILY_API_KEY_FILE",
        description="File with the key for Tavily, re-read when it changes.",
    )
    tavily_base_url: str | None = Field(
        default=None, validation_alias="TAVILY_BASE_URL", description="Another Tavily-compatible endpoint."
    )
    timeout_seconds: float = Field(
        default=10.0,
        ge=0.5,
        le=60,
        validation_alias="AGENT_SEARCH_TIMEOUT_SECONDS",
        description="Longest wait for one web search, in seconds.",
    )


class AgentSettings(SettingsGroup):
    routing_min_confidence: float = Field(
        default=0.5,
        ge=0,
        le=1,
        validation_alias="AGENT_ROUTING_MIN_CONFIDENCE",
        description="Confidence below which the router answers UNKNOWN_TASK_TYPE.",
    )
    plugins: CommaList = Field(
        default=(),
        validation_alias="AGENT_PLUGINS",
        description="Further agents as `module:attribute`, beside the entry points `agent_orchestrator.agents`.",
    )
    enabled: bool = Field(
        default=True, validation_alias="FF_AGENTS_ENABLED", description="Off: WorkflowAgent answers `disabled`."
    )
    llm_fallback: bool = Field(
        default=True,
        validation_alias="FF_AGENTS_LLM_FALLBACK",
        description="Off: only the first model of a chain is asked.",
    )

    _split_lists = field_validator("plugins", mode="before")(_split)


class OperatorSettings(SettingsGroup):
    api_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://",
        validation_alias="AGENT_OPERATOR_API_URL",
        description="Address of the REST API, as the operator reaches it.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="AGENT_OPERATOR_API_KEY",
        description="Key of the role service; not needed where the API asks for none.",
    )
    api_key_file: Path | None = Field(
        default=None,
        validation_alias="AGENT_OPERATOR_API_KEY_FILE",
        description="File that holds the key; read again when it changes, and before the variable above.",
    )
    namespaces: CommaList = Field(
        default=(),
        validation_alias="AGENT_OPERATOR_NAMESPACES",
        description="Namespaces whose AgentTasks are served. Unset: all.",
    )
    cluster_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,63}$",
        validation_alias="AGENT_OPERATOR_CLUSTER_NAME",
        description="Tells clusters apart that share an API. Unset: made from the cluster's certificate authority.",
    )
    worker_deployment: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}$",
        validation_alias="AGENT_OPERATOR_WORKER_DEPLOYMENT",
        description="namespace/name of the workers' Deployment, which is scaled. Unset: nothing is.",
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

    _split_lists = field_validator("namespaces", mode="before")(_split)


GROUPS: dict[str, type[SettingsGroup]] = {
    "process": ProcessSettings,
    "store": StoreSettings,
    "broker": BrokerSettings,
    "api": ApiSettings,
    "execution": ExecutionSettings,
    "worker": WorkerSettings,
    "llm": LLMSettings,
    "search": SearchSettings,
    "agents": AgentSettings,
    "operator": OperatorSettings,
}


class Settings(BaseModel):
    """All groups. Build it with `load_settings()`, which reports all wrong values at once."""

    model_config = ConfigDict(frozen=True)

    process: ProcessSettings = Field(default_factory=ProcessSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    execution: ExecutionSettings = Field(default_factory=ExecutionSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    llm: LLMSettings = Field(default_factory=LLMSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    agents: AgentSettings = Field(default_factory=AgentSettings)
    operator: OperatorSettings = Field(default_factory=OperatorSettings)


def load_settings(**overrides: Any) -> Settings:
    """Reads the environment and `.env`. `overrides` replace whole groups by name (`api=ApiSettings(...)`).

    Raises ConfigurationError with one line per wrong value: the variable, what is wrong, never a secret's value.
    """
    wrong: list[str] = []
    groups: dict[str, Any] = {}
    for name, group in GROUPS.items():
        if name in overrides:
            groups[name] = overrides[name]
            continue
        try:
            groups[name] = group()
        except ValidationError as error:
            wrong += [
                f"{detail['loc'][0]}: {detail['msg']}"
                for detail in error.errors(include_input=False, include_url=False)
            ]
    if wrong:
        listing = "\n".join(f"  {line}" for line in wrong)
        raise ConfigurationError(f"These settings are wrong; mend them and start again:\n{listing}")
    return Settings(**groups)
