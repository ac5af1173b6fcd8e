"""A provider's key: a variable, or a mounted file that is examined before every call and read again when it changed."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from app.outbound.key_file import KeyFile
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

_log = get_logger(__name__)


class ProviderKey:
    """The key to send now (`current`). The file wins over the variable while it can be read."""

    def __init__(self, provider: str, *, value: SecretStr | None, path: Path | None, metrics: OutboundMetrics) -> None:
        self._provider = provider
        self._value = value.get_secret_value().strip() if value is not None else None
        self._file = KeyFile(path) if path is not None else None
        self._rotations = metrics.key_rotations.labels(provider=provider)
        if self._file is not None:
            self._value = self._read(self._file)

    @property
    def configured(self) -> bool:
        """Checks whether there is a key now. A missing file is none: a Secret may hold the key of one provider only."""
        return bool(self.current())

    def current(self) -> str | None:
        """Returns the key, read anew if its file has changed."""
        if self._file is not None and self._changed(self._file):
            self._reload(self._file)
        return self._value or None

    def replaced(self, rejected: str | None) -> bool:
        """Checks, after a provider refused the key `rejected`, whether there is another one now.

        Reads the file once more, because a file written within the same clock tick has the same stamp.
        """
        if self._value == rejected and self._file is not None:
            self._reload(self._file)
        return bool(self._value) and self._value != rejected

    def _changed(self, file: KeyFile) -> bool:
        try:
            return file.changed()
        except OSError:
            return False  # being replaced, or deleted: the last key stays good until the provider refuses it

    def _reload(self, file: KeyFile) -> None:
        key = self._read(file)
        if key == self._value:
            return
        self._value = key
        self._rotations.inc()
        _log.info("provider_key_rotated", provider=self._provider)

    def _read(self, file: KeyFile) -> str | None:
        """Reads the file; an unreadable one leaves the key as it is."""
        try:
            return file.read()
        except FileNotFoundError:
            _log.info("provider_key_missing", provider=self._provider)
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("provider_key_unreadable", provider=self._provider, error_class=type(error).__name__)
        return self._value
