"""The Kubernetes API: one session, the calls that kopf does not make, and events."""
