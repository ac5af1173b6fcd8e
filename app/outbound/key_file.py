"""A provider's key: a variable, or a mounted file that may change while the process runs.

The file is looked at before every call and read again when its stamp changed: a rotated Secret needs no restart.
A key is never logged and never part of an exception's text. The reads are small and local, hence not in a thread.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

_log = get_logger(__name__)


class ProviderKey:
    """`current` is what to send now. The file wins over the variable while it can be read."""

    def __init__(self, provider: str, *, value: SecretStr | None, path: Path | None, metrics: OutboundMetrics) -> None:
        self._provider = provider
        self._value = value.get_secret_value().strip() if value is not None else None
        self._path = path
        self._metrics = metrics
        self._stamp: tuple[int, int, int] | None = None
        self._metrics.key_rotations.labels(provider=provider)
        self._reload(first=True)

    @property
    def configured(self) -> bool:
        """Whether there is a key now. A file that is not there is no key: a Secret may hold one of one vendor only."""
        return bool(self.current())

    def current(self) -> str | None:
        if self._path is not None and self._look() != self._stamp:
            self._reload()
        return self._value or None

    def replaced(self, rejected: str | None) -> bool:
        """After a provider refused `rejected`: whether another key is there now. Reads the file once more."""
        if self._value == rejected:
            self._reload()
        return bool(self._value) and self._value != rejected

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return self._stamp  # being replaced, or gone: the last key stays good until the provider refuses it
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _reload(self, *, first: bool = False) -> None:
        if self._path is None:
            return
        stamp = self._look()
        try:
            content = self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            _log.info("provider_key_missing", provider=self._provider)
            return
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("provider_key_unreadable", provider=self._provider, error_type=type(error).__name__)
            return
        self._stamp = stamp
        if content == self._value:
            return
        self._value = content
        if not first:
            self._metrics.key_rotations.labels(provider=self._provider).inc()
            _log.info("provider_key_rotated", provider=self._provider)
