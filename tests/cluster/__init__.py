"""Tests against a real Kubernetes control plane: API server, etcd, controller manager and scheduler, no kubelet."""
