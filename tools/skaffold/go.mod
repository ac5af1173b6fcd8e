// This module pins the schema of skaffold.yaml; nothing of it is built.
module agentorchestrator.dev/tools/skaffold

go 1.26.0

require github.com/GoogleContainerTools/skaffold/v2 v2.16.1
