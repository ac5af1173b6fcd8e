"""A provider's key: a variable, or a mounted file that is examined before every call and read again when it changed."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from app.errors import ConfigurationError
from app.outbound.key_file import KeyFile
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

_QUOTES = ("'", '"', "`")
_log = get_logger(__name__)


class ProviderKey:
    """The key to send now (`current`). The file wins over the variable while it can be read.

    Raises ConfigurationError for a variable that holds no key. A file may be mended while the process runs: `problem`
    says then what is wrong with it.
    """

    def __init__(self, provider: str, *, value: SecretStr | None, path: Path | None, metrics: OutboundMetrics) -> None:
        self._provider = provider
        self._variable = f"{provider.upper()}_API_KEY"
        self._value = value.get_secret_value().strip() if value is not None else None
        if wrong := find_problem(self._value or ""):
            raise ConfigurationError(f"{self._variable} {wrong}.")
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

    @property
    def setting(self) -> str:
        """Returns the name of the variable that the key comes from."""
        return self._variable if self._file is None else f"{self._variable}_FILE"

    @property
    def problem(self) -> str | None:
        """Says why the key cannot be sent, naming its variable; None if nothing is wrong with it."""
        wrong = find_problem(self._value or "")
        return f"{self.setting} {wrong}" if wrong else None

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


def find_problem(key: str) -> str | None:
    """Says what is wrong with a key that no provider can have issued; None for one that may be right."""
    if key[:1] in _QUOTES or key[-1:] in _QUOTES:
        return "has quotation marks around the key: remove them"
    if not all("!" <= character <= "~" for character in key):
        return "holds a space, a line break or another character that no key has: set the key alone"
    return None
