"""Settings: every value has its range, all wrong ones are listed at once, and no secret is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import GROUPS, ApiSettings, load_settings

RANGES = [
    ("AGENT_LLM_TIMEOUT_SECONDS", "llm", "timeout_seconds", 5.0, 0.5, 30.0),
    ("AGENT_MAX_TOKENS", "llm", "max_tokens", 4000, 100, 32000),
    ("AGENT_HTTP_MAX_RETRIES", "llm", "http_max_retries", 3, 1, 10),
    ("AGENT_HTTP_BASE_BACKOFF_SECONDS", "llm", "http_base_backoff_seconds", 0.2, 0.05, 5.0),
    ("AGENT_METRICS_PORT", "worker", "metrics_port", 9100, 1024, 65535),
]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes the variables of this machine and leaves the folder with its .env."""
    for group in GROUPS.values():
        for field in group.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("variable", "group", "name", "default", "least", "most"), RANGES)
def test_a_value_has_its_default_and_its_range(
    monkeypatch: pytest.MonkeyPatch, variable: str, group: str, name: str, default: float, least: float, most: float
) -> None:
    assert getattr(getattr(load_settings(), group), name) == default
    for allowed in (least, most):
        monkeypatch.setenv(variable, str(allowed))
        assert getattr(getattr(load_settings(), group), name) == allowed
    for refused in (least - 1, most + 1):
        monkeypatch.setenv(variable, str(refused))
        with pytest.raises(ConfigurationError, match=variable):
            load_settings()


def test_one_message_lists_every_wrong_value_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_METRICS_PORT", "80")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    monkeypatch.setenv("AGENT_BOOTSTRAP_SERVICE_KEY", "too-short-secret")
    monkeypatch.setenv("TRUSTED_PROXIES", "not-a-network")

    with pytest.raises(ConfigurationError) as wrong:
        load_settings()

    for variable in ("AGENT_METRICS_PORT", "LOG_LEVEL", "AGENT_BOOTSTRAP_SERVICE_KEY", "TRUSTED_PROXIES"):
        assert variable in str(wrong.value)
    assert "too-short-secret" not in str(wrong.value)


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk-very-private"  # made up for this test
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TAVILY_API_KEY", "MONGO_URI", "REDIS_URL"):
        monkeypatch.setenv(variable, secret)

    settings = load_settings()

    assert secret not in repr(settings)
    assert secret not in settings.model_dump_json()


def test_the_environment_wins_over_the_file_and_an_empty_variable_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("MONGO_DB_NAME=from_file\nAGENT_QUEUE_NAME=file_queue\n")
    monkeypatch.setenv("MONGO_DB_NAME", "from_environment")
    monkeypatch.setenv("AGENT_API_PORT", "")

    settings = load_settings()

    assert settings.store.database == "from_environment"
    assert settings.broker.queue == "file_queue"
    assert settings.api.port == 8080


def test_no_variable_belongs_to_two_settings_and_each_has_a_sentence() -> None:
    fields = [field for group in GROUPS.values() for field in group.model_fields.values()]
    variables = [str(field.validation_alias) for field in fields]

    assert len(variables) == len(set(variables))
    assert all(field.description and field.description.endswith(".") for field in fields)


@pytest.mark.parametrize(
    ("host", "auth", "required"),
    [
        ("127.0.0.1", "auto", False),
        ("localhost", "auto", False),
        ("::1", "auto", False),
        ("0.0.0.0", "auto", True),
        ("api.internal", "auto", True),
        ("0.0.0.0", "off", False),
        ("127.0.0.1", "on", True),
    ],
)
def test_keys_are_required_on_every_address_except_loopback(host: str, auth: str, required: bool) -> None:
    assert ApiSettings.model_validate({"host": host, "auth": auth}).keys_required is required
