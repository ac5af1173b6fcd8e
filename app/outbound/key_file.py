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
        self._file = KeyFile(path) if path is not None else None
        self._metrics = metrics
        self._metrics.key_rotations.labels(provider=provider)
        self._reload(first=True)

    @property
    def configured(self) -> bool:
        """Whether there is a key now. A file that is not there is no key: a Secret may hold one of one vendor only."""
        return bool(self.current())

    def current(self) -> str | None:
        if self._file_changed():
            self._reload()
        return self._value or None

    def replaced(self, rejected: str | None) -> bool:
        """After a provider refused `rejected`: whether another key is there now. Reads the file once more."""
        if self._value == rejected:
            self._reload()
        return bool(self._value) and self._value != rejected

    def _file_changed(self) -> bool:
        try:
            return self._file is not None and self._file.has_changed()
        except OSError:
            return False  # being replaced, or gone: the last key stays good until the provider refuses it

    def _reload(self, *, first: bool = False) -> None:
        if self._file is None:
            return
        try:
            content = self._file.reload()
        except FileNotFoundError:
            _log.info("provider_key_missing", provider=self._provider)
            return
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("provider_key_unreadable", provider=self._provider, error_type=type(error).__name__)
            return
        if content == self._value:
            return
        self._value = content
        if not first:
            self._metrics.key_rotations.labels(provider=self._provider).inc()
            _log.info("provider_key_rotated", provider=self._provider)


class KeyFile:
    """A mounted file with a key; keeps the key of the last successful read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._key = ""

    def read(self) -> str:
        """Returns the key; reads the file again if its stamp has changed. Raises OSError, UnicodeDecodeError."""
        return self.reload() if self.has_changed() else self._key

    def has_changed(self) -> bool:
        """Compares the file's stamp with that of the last successful read. Raises OSError."""
        return self._read_stamp() != self._stamp

    def reload(self) -> str:
        """Returns the key as the file has it now. Raises OSError, UnicodeDecodeError."""
        stamp = self._read_stamp()  # before the content: a file replaced in between is read once more
        self._key = self._path.read_text(encoding="utf-8").strip()
        self._stamp = stamp
        return self._key

    def _read_stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
