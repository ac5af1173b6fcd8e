"""Python's garbage collector, set for a server: a task makes thousands of objects, few of them in cycles. So do
the API's requests, and the events of the operator's watch.

By default the youngest generation is searched every 700 new objects, which is a tenth of a worker's CPU. Searched every
20,000 it finds the same cycles a little later; the price is a few megabytes.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 20_000


def collect_rarely() -> None:
    """Call once, when what a process needs from its start is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
