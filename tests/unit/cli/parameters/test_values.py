"""Parameters become values of the chart, or a list of what is wrong with them."""

from __future__ import annotations

import pytest

from app.cli.failure import CommandFailed
from app.cli.parameters.values import Parameter, chart_values

PATH = "/agent-orchestrator-api/prod"
SECRET = "mongodb://user:very-secret@db/"
NEEDED = (
    Parameter(f"{PATH}/MONGO_URI", SECRET, secure=True, version=1),
    Parameter(f"{PATH}/REDIS_URL", "rediss://cache/", secure=True, version=1),
)


def parameter(name: str, value: str = "value", *, secure: bool = False) -> Parameter:
    return Parameter(f"{PATH}/{name}", value, secure=secure, version=1)


def problems(*parameters: Parameter) -> str:
    with pytest.raises(CommandFailed) as failed:
        chart_values([*NEEDED, *parameters], path=PATH)
    shown = str(failed.value)
    assert "very-secret" not in shown
    return shown


def test_each_kind_goes_where_it_is_read() -> None:
    values = chart_values(
        [
            *NEEDED,
            parameter("LOG_LEVEL", "DEBUG"),
            parameter("OPENAI_API_KEY", "key", secure=True),
            parameter("WEATHER_KEY", "own", secure=True),
            parameter("PLUGIN_CITY", "Bremen"),
        ],
        path=PATH,
    )
    assert values == {
        "secrets": {
            "mode": "inline",
            "inline": {
                "stores": {"MONGO_URI": SECRET, "REDIS_URL": "rediss://cache/"},
                "providers": {"OPENAI_API_KEY": "key"},
                "worker": {"WEATHER_KEY": "own"},
            },
        },
        "env": {"LOG_LEVEL": "DEBUG", "PLUGIN_CITY": "Bremen"},
    }


def test_two_parameters_for_one_variable_are_refused() -> None:
    shown = problems(parameter("LOG_LEVEL", "INFO"), parameter("app/LOG_LEVEL", "DEBUG"))
    assert f"{PATH}/app/LOG_LEVEL is in a folder; it is read as {PATH}/LOG_LEVEL only" in shown


@pytest.mark.parametrize("name", ["log-level", "2FA", "a.b"])
def test_what_is_no_name_of_a_variable_is_refused(name: str) -> None:
    assert f"{PATH}/{name} is no name of a variable" in problems(parameter(name))


@pytest.mark.parametrize("name", ["AGENT_QUEUE_NAME", "CORS_ORIGINS"])
def test_a_setting_that_is_no_secret_is_not_kept_from_the_other_processes(name: str) -> None:
    shown = problems(parameter(name, "hidden", secure=True))
    assert f"{PATH}/{name} is no secret, and all processes have to read it; store it as a String" in shown


def test_a_secret_that_is_stored_as_a_string_is_refused() -> None:
    assert f"{PATH}/OPENAI_API_KEY is a secret; store it as a SecureString" in problems(parameter("OPENAI_API_KEY"))


@pytest.mark.parametrize("name", ["AGENT_API_PORT", "AGENT_BOOTSTRAP_SERVICE_KEY", "OPENAI_API_KEY_FILE"])
def test_what_the_chart_sets_itself_is_refused(name: str) -> None:
    assert f"{PATH}/{name} is set by the chart itself" in problems(parameter(name))


def test_a_value_that_would_stop_the_processes_is_refused_without_being_shown() -> None:
    shown = problems(
        parameter("AGENT_LEASE_SECONDS", "90000"),
        parameter("LOG_LEVEL", "LOUD"),
        parameter("TRUSTED_PROXIES", "hunter2"),
    )
    assert f"{PATH}/AGENT_LEASE_SECONDS would stop the processes: Input should be less than or equal to 600" in shown
    assert f"{PATH}/LOG_LEVEL would stop the processes: Input should be 'DEBUG'" in shown
    assert f"{PATH}/TRUSTED_PROXIES would stop the processes: the value" in shown
    assert not any(value in shown for value in ("90000", "LOUD", "hunter2"))


def test_an_empty_value_is_refused() -> None:
    assert f"{PATH}/LOG_LEVEL is empty" in problems(parameter("LOG_LEVEL", " "))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(CommandFailed) as failed:
        chart_values([parameter("LOG_LEVEL", "")], path=PATH)
    lines = str(failed.value).splitlines()
    assert len(lines) == 4
    assert f"  {PATH}/MONGO_URI is missing" in lines


def test_an_empty_path_is_told_of() -> None:
    with pytest.raises(CommandFailed, match=f"no parameters under {PATH}"):
        chart_values([], path=PATH)


def test_a_parameter_does_not_show_its_value() -> None:
    assert SECRET not in repr(NEEDED[0])
