from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.errors import ConfigurationError
from app.outbound.provider_key import ProviderKey
from app.telemetry.metrics import WorkerMetrics


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics(version="test")


def rotations(metrics: WorkerMetrics) -> float | None:
    return metrics.registry.get_sample_value("agents_provider_key_rotations_total", {"provider": "openai"})


def test_a_variable_is_used_as_it_is(metrics: WorkerMetrics) -> None:
    key = ProviderKey("openai", value=SecretStr(" sk-1\n"), path=None, metrics=metrics.outbound)
    assert key.configured
    assert key.current() == "sk-1"
    assert not key.replaced("sk-1")


def test_the_setting_is_the_variable_that_the_key_comes_from(metrics: WorkerMetrics, tmp_path: Path) -> None:
    named = ProviderKey("openai", value=SecretStr("sk-1"), path=None, metrics=metrics.outbound)
    in_file = ProviderKey("openai", value=None, path=tmp_path / "key", metrics=metrics.outbound)
    assert (named.setting, in_file.setting) == ("OPENAI_API_KEY", "OPENAI_API_KEY_FILE")


def test_without_anything_there_is_no_key(metrics: WorkerMetrics) -> None:
    key = ProviderKey("openai", value=None, path=None, metrics=metrics.outbound)
    assert not key.configured
    assert key.current() is None


def test_a_changed_file_is_read_again_and_counted(metrics: WorkerMetrics, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1\n")
    key = ProviderKey("openai", value=SecretStr("sk-variable"), path=path, metrics=metrics.outbound)
    assert key.current() == "sk-1"
    assert rotations(metrics) == 0
    path.write_text("sk-22\n")
    assert key.current() == "sk-22"
    assert key.current() == "sk-22"
    assert rotations(metrics) == 1


def test_a_refused_key_is_replaced_even_when_the_files_stamp_is_the_same(
    metrics: WorkerMetrics, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    stamp = path.stat()
    key = ProviderKey("openai", value=None, path=path, metrics=metrics.outbound)
    path.write_text("sk-2")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert key.current() == "sk-1"
    assert key.replaced("sk-1")
    assert key.current() == "sk-2"
    assert rotations(metrics) == 1


def test_a_refused_key_that_is_still_there_is_not_replaced(metrics: WorkerMetrics, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    key = ProviderKey("openai", value=None, path=path, metrics=metrics.outbound)
    assert not key.replaced("sk-1")
    assert rotations(metrics) == 0


def test_the_last_key_stays_while_the_file_is_missing(metrics: WorkerMetrics, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1")
    key = ProviderKey("openai", value=None, path=path, metrics=metrics.outbound)
    path.unlink()
    assert key.current() == "sk-1"
    assert not key.replaced("sk-1")


def test_a_file_may_come_later(metrics: WorkerMetrics, tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = ProviderKey("openai", value=None, path=path, metrics=metrics.outbound)
    assert not key.configured
    assert key.current() is None
    path.write_text("sk-1")
    assert key.current() == "sk-1"


@pytest.mark.parametrize(
    ("value", "said"),
    [('"sk-1"', "quotation"), ("'sk-1", "quotation"), ("sk-1\nsk-2", "line break"), ("sk\u20131", "character")],
)
def test_what_cannot_be_a_key_is_said_at_the_start(metrics: WorkerMetrics, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OPENAI_API_KEY .*{said}") as caught:
        ProviderKey("openai", value=SecretStr(value), path=None, metrics=metrics.outbound)
    assert value not in str(caught.value)


def test_a_file_that_holds_no_key_is_named_until_it_is_mended(metrics: WorkerMetrics, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one\ntwo\n")
    key = ProviderKey("openai", value=None, path=path, metrics=metrics.outbound)
    assert key.problem is not None
    assert key.problem.startswith("OPENAI_API_KEY_FILE holds")
    path.write_text("sk-1")
    assert key.current() == "sk-1"
    assert not key.problem
