"""Settings of Python's garbage collector for a server.

A task, a request and a watch event each create thousands of objects, few of them in cycles. By default Python searches
the youngest generation after 700 new objects, which takes a tenth of a worker's CPU. Searched after 20,000 it finds the
same cycles a little later; the price is a few megabytes.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 20_000


def collect_rarely() -> None:
    """Makes collections rare. Call it once, after the imports of the process."""
    gc.collect()
    gc.freeze()  # modules and classes live as long as the process, so no later collection needs to search them
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
