from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from app.outbound.http import HttpTimeouts, build_model_client, build_ssl_context, build_web_client


async def test_a_web_client_has_limits_and_follows_no_redirect() -> None:
    web = build_web_client(HttpTimeouts(read_seconds=10), "https://api.tavily.com")
    assert web.timeout.as_dict() == {"connect": 3.0, "read": 10, "write": 10, "pool": 10}
    assert not web.follow_redirects
    await web.aclose()


async def test_clients_can_be_built_whatever_proxy_the_shell_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    await build_web_client(HttpTimeouts(read_seconds=1), "https://api.tavily.com").aclose()
    await build_model_client(build_ssl_context()).close()


def test_connecting_never_takes_longer_than_reading_may() -> None:
    assert HttpTimeouts(read_seconds=0.5).connect_seconds == 0.5


def test_certificates_of_the_environment_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert build_ssl_context().cert_store_stats()["x509_ca"] == 1
    monkeypatch.delenv("SSL_CERT_FILE")
    public = build_ssl_context()
    assert public.cert_store_stats()["x509_ca"] > 100
    assert public.verify_mode is ssl.CERT_REQUIRED
