// These modules hold the CRDs of objects that the chart can make or that k8s/monitoring holds; nothing of them is built.
module agentorchestrator.dev/tools/charts/crds

go 1.26.0

require (
	github.com/external-secrets/external-secrets v1.3.2
	github.com/k3s-io/helm-controller v0.17.9
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
