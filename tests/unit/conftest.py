"""The number of examples that the unit tests play of each property.

`make unit` runs after every edit, so it plays a quarter of the examples (`--hypothesis-profile=quick`). Every other
run, `make test` and CI among them, plays all. A property that needs more than the usual number multiplies
`settings().max_examples`, so that it follows the profile; so does the length of a text that shall take long.
"""

from __future__ import annotations

from hypothesis import settings

# No deadline: on a busy machine an example takes longer than Hypothesis' 200 ms now and then. Texts that could take too
# long have tests of their own, which count the CPU.
settings.register_profile("all-examples", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=settings().max_examples // 4)
settings.load_profile("all-examples")
