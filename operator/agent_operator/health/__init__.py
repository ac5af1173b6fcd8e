"""The room of liveness: the pulse of each duty, and the probe that reports it over HTTP."""
