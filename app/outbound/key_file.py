"""A key in a mounted file that may change while the process runs: a rotated Secret needs no restart.

A key is never logged and never part of an exception's text. The reads are small and local, hence not in a thread.
"""

from __future__ import annotations

from pathlib import Path


class KeyFile:
    """One file with one key. The caller keeps the key; this class knows when to read it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Checks whether the file is another one than at the last `read`. Raises OSError if it cannot be examined."""
        return self._read_stamp() != self._stamp

    def read(self) -> str:
        """Reads the key, without white space around it. Raises OSError or UnicodeDecodeError."""
        # The stamp is taken first: a file that is replaced between the two steps is read once more, never missed.
        stamp = self._read_stamp()
        key = self._path.read_text(encoding="utf-8").strip()
        self._stamp = stamp
        return key

    def _read_stamp(self) -> tuple[int, int, int]:
        # The kubelet replaces a mounted Secret by turning a symbolic link to another folder: the new file may have the
        # size and even the time of the old one, yet it has another inode.
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
