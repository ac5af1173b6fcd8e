"""Settings: every value has its range, all wrong ones are listed at once, and no secret is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import GROUPS, ApiSettings, load_settings, misspelt_variables

RANGES = [
    ("AGENT_LLM_TIMEOUT_SECONDS", "llm", "timeout_seconds", 5.0, 0.5, 30.0),
    ("AGENT_MAX_TOKENS", "llm", "max_tokens", 4000, 100, 32000),
    ("AGENT_HTTP_MAX_RETRIES", "llm", "http_max_retries", 3, 1, 10),
    ("AGENT_HTTP_BASE_BACKOFF_SECONDS", "llm", "http_base_backoff_seconds", 0.2, 0.05, 5.0),
    ("AGENT_METRICS_PORT", "worker", "metrics_port", 9100, 1024, 65535),
    ("AGENT_TASK_RETENTION_SECONDS", "retention", "task_seconds", 7_776_000, 0, 315_360_000),
    ("AGENT_TASK_MAX_TTL_SECONDS", "retention", "max_ttl_seconds", 31_536_000, 1, 315_360_000),
    ("AGENT_SESSION_RETENTION_SECONDS", "retention", "session_seconds", 2_592_000, 3_600, 315_360_000),
    ("AGENT_IDEMPOTENCY_KEY_RETENTION_SECONDS", "retention", "key_seconds", 2_592_000, 86_400, 315_360_000),
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
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TAVILY_API_KEY"):
        monkeypatch.setenv(variable, secret)
    monkeypatch.setenv("MONGO_URI", f"mongodb://user:{secret}@127.0.0.1/")
    monkeypatch.setenv("REDIS_URL", f"redis://:{secret}@127.0.0.1/")

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


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", f"redis://:{SECRET}/x@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET}#x@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET}?x@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET}@x@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET}%zz@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://user:123/{SECRET}@127.0.0.1/0"),
        ("REDIS_URL", "foo"),
        ("REDIS_URL", "amqp://127.0.0.1"),
        ("REDIS_URL", "sentinel://127.0.0.1:26379"),
        ("REDIS_URL", "redis://127.0.0.1:0/0"),
        ("REDIS_URL", "redis://127.0.0.1:6379/first"),
        ("REDIS_URL", "'redis://127.0.0.1:6379/0'"),
        ("CELERY_BROKER_URL", f"rediss://:{SECRET}/x@127.0.0.1:6379/0"),
        ("CELERY_RESULT_BACKEND", f"redis://:{SECRET}/x@127.0.0.1:6379/1"),
        ("MONGO_URI", f"mongodb://user:{SECRET}/x@127.0.0.1:27017/"),
        ("MONGO_URI", f"mongodb://user:{SECRET}@x@127.0.0.1:27017/"),
        ("MONGO_URI", f"mongodb://user:1/{SECRET}@127.0.0.1:27017/"),
        ("MONGO_URI", f"mongodb://user:{SECRET}%@127.0.0.1:27017/"),
        ("MONGO_URI", "mongodb://a,b:port/"),
        ("MONGO_URI", "127.0.0.1:27017"),
        ("OPENAI_BASE_URL", "localhost:4000"),
        ("OPENAI_BASE_URL", "'http://localhost:4000'"),
        ("OPENAI_BASE_URL", "http://h:abc/v1"),
        ("OPENAI_BASE_URL", f"http://user:{SECRET}@host/v1"),
        ("TAVILY_BASE_URL", "tavily.example"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("AGENT_OPERATOR_API_URL", "api:8080"),
        ("CORS_ORIGINS", '["https://a.example"]'),
        ("CORS_ORIGINS", "https://a.example;https://b.example"),
        ("CORS_ORIGINS", "https://a.example https://b.example"),
        ("CORS_ORIGINS", "https://a.example/app"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("CORS_ORIGINS", f"https://user:{SECRET}@a.example"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_in_one_line_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as wrong:
        load_settings()

    _, line = str(wrong.value).splitlines()
    assert line.strip().startswith(f"{variable}: ")
    assert "Value error" not in line
    assert SECRET not in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", "redis://:p%40ss%2Fw%23o%3Ard%25@127.0.0.1:6379/0"),
        ("REDIS_URL", "rediss://user:word@redis.internal:6380/3?ssl_cert_reqs=none"),
        ("REDIS_URL", "redis://[::1]:6379"),
        ("CELERY_RESULT_BACKEND", "db+postgresql://user:word@host/results"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("MONGO_URI", "mongodb://user:p%40ss@a:27017,b:27018,[::1]:27019/db?replicaSet=rs&authSource=admin"),
        ("MONGO_URI", "mongodb+srv://user:word@cluster.example/?retryWrites=true"),
        ("MONGO_URI", "mongodb://%2Ftmp%2Fmongodb-27017.sock/"),
        ("OPENAI_BASE_URL", " http://127.0.0.1:4000/v1 "),
        ("CORS_ORIGINS", "*"),
        ("REDIS_URL", "redis://:it's<here>@127.0.0.1:6379/0"),
    ],
)
def test_an_address_of_any_usual_form_is_taken(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)

    load_settings()


def test_the_final_slash_of_an_origin_goes_because_no_browser_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://A.example/, http://b.example:8443, https://c.example:443")

    assert load_settings().api.cors_origins == ("https://a.example", "http://b.example:8443", "https://c.example")


def test_a_folder_named_like_the_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert load_settings().api.port == 8080
    assert misspelt_variables() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("LOG_LEVEL=INFO\n".encode("utf-16"), "not in UTF-8"),
        ("# Grüße\n".encode("latin-1"), "not in UTF-8"),
        (b"LOG_LEVEL=INFO\nthis is no assignment\n", "line 2"),
        (b"LOG_LEVEL=INFO\nMONGO_DB_NAME='open\n", "line 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / ".env").write_bytes(content)

    with pytest.raises(ConfigurationError) as wrong:
        load_settings()

    _, line = str(wrong.value).splitlines()
    assert line.strip().startswith(".env")
    assert message in line


def test_a_file_with_a_byte_order_mark_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfMONGO_DB_NAME=first\r\nexport LOG_LEVEL=ERROR\r\n")

    settings = load_settings()

    assert (settings.store.database, settings.process.log_level) == ("first", "ERROR")


def test_a_name_that_is_nearly_a_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "AGENT_WORKER_CONCURENCY=5\nAGENT_ORCHESTRATOR_API_KEY=k\nMY_OWN=1\nLOG_LEVEL=INFO\n"
    )

    assert misspelt_variables() == [
        ".env sets AGENT_WORKER_CONCURENCY, which is no setting; did you mean AGENT_WORKER_CONCURRENCY?"
    ]
