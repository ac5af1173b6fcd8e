"""The room of the Kubernetes API: one HTTP session, the calls that kopf does not make, and Kubernetes events."""
