"""The service key of the installation: one key that is given to the API and to the operator, by file or by variable.

The API accepts what the file holds within seconds, without a restart. The key before works for an overlap, because
every process reads its own copy of the file, and kubelets may update these copies two minutes apart.

What the file holds counts, also if it holds an earlier key again: a rollback must not lock the operator out. Only a
revoked key never comes back.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from app.errors import ConfigurationError, StoreError, StoreUnavailable
from app.outbound.key_file import KeyFile
from app.services.keys import KeyService
from app.settings import ApiSettings
from app.telemetry.logs import get_logger

POLL_SECONDS = 5.0
# While pods are replaced, one with the earlier key may install that one again. The pods with the current key install
# theirs within this time; the overlap is at least twice as long, so neither key ends meanwhile.
REPEAT_SECONDS = 60.0
_FILE_VARIABLE = "AGENT_BOOTSTRAP_SERVICE_KEY_FILE"
_ACCEPTED = re.compile(r"[\x21-\x7e]{32,256}")

_log = get_logger(__name__)


class ServiceKey:
    """The service key of one API process. Without a file and a variable there is none, and nothing is done."""

    def __init__(self, keys: KeyService, settings: ApiSettings) -> None:
        self._keys = keys
        given = settings.bootstrap_service_key
        self._value = None if given is None else given.get_secret_value()
        path = settings.bootstrap_service_key_file
        self._file = None if path is None else _MountedKey(path)
        self._overlap_seconds = settings.service_key_overlap_seconds
        self._stored = True
        self._logged: object = None

    async def install(self) -> None:
        """Stores the current key. Raises ConfigurationError if the file holds none, StoreUnavailable."""
        if self._file is not None:
            self._value = self._file.read()
        if self._value is None:
            return
        self._stored = False
        key = await self._keys.install(self._value, overlap_seconds=self._overlap_seconds)
        self._stored = True
        if key.revoked_at is None:
            self._logged = None
        else:
            self._log_once("service_key_revoked", key_id=key.id)

    async def run(self) -> None:
        """Installs the key when its file has changed, and every `REPEAT_SECONDS`, until it is cancelled."""
        while True:
            await self._wait()
            try:
                await self.install()
            except ConfigurationError as wrong:  # the former key goes on until the file is mended
                self._log_once("service_key_unreadable", reason=wrong.message)
            except (StoreUnavailable, StoreError) as error:
                _log.warning("service_key_not_stored", error_code=error.code)

    def _log_once(self, event: str, **fields: str) -> None:
        """Logs a fault of the key when it begins. It stays until somebody mends it, and `run` meets it each minute."""
        if (fault := (event, fields)) != self._logged:
            self._logged = fault
            _log.error(event, **fields)

    async def _wait(self) -> None:
        """Waits until there is a key to store, for `REPEAT_SECONDS` at most."""
        for _ in range(round(REPEAT_SECONDS / POLL_SECONDS)):
            await asyncio.sleep(POLL_SECONDS)
            if not self._stored or (self._file is not None and self._file.changed()):
                return


class _MountedKey:
    """The file with the key, which is replaced while the process runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = KeyFile(path)

    def changed(self) -> bool:
        """Checks whether the file is another one than at the last `read`; False if it is not there now."""
        try:
            return self._file.changed()
        except OSError:
            return False

    def read(self) -> str:
        """Reads the key. Raises ConfigurationError, whose text holds no part of the key."""
        try:
            key = self._file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise ConfigurationError(f"{_FILE_VARIABLE}: {self._path} cannot be read ({reason}).") from error
        if not _ACCEPTED.fullmatch(key):
            raise ConfigurationError(
                f"{_FILE_VARIABLE}: {self._path} holds no key of 32 to 256 characters without spaces; "
                "create one with `openssl rand -hex 32`."
            )
        return key
