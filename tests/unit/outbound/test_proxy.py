from __future__ import annotations

import pytest

from app.errors import ConfigurationError
from app.outbound.proxy import proxy_for, unusable_variables

PROXY = "http://user:pass@proxy.test:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_the_scheme_of_the_address_chooses_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert proxy_for("https://api.openai.com/v1") == PROXY
    assert proxy_for("http://models.test/v1") is None


@pytest.mark.parametrize("host", ["127.0.0.1:4000", "localhost:11434", "[::1]:8000", "model.localhost", "127.3.2.1"])
def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert proxy_for(f"http://{host}/v1") is None


def test_hosts_without_a_proxy_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "models.test,.internal")
    assert proxy_for("http://models.test:8000/v1") is None
    assert proxy_for("http://vllm.internal/v1") is None
    assert proxy_for("http://other.test/v1") == PROXY


def test_a_proxy_for_everything_counts_only_if_it_speaks_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert proxy_for("https://api.openai.com/v1") is None
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert proxy_for("https://api.openai.com/v1") == PROXY


def test_a_proxy_of_another_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        proxy_for("https://api.openai.com/v1")


def test_only_variables_with_a_proxy_of_another_kind_are_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "models.test")
    assert unusable_variables() == []
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert unusable_variables() == ["ALL_PROXY"]
