# Read by the other scripts: what they know of the server, and how they fail. AGENT_ETC and AGENT_HOME are for tests.
# shellcheck shell=sh disable=SC2034

etc=${AGENT_ETC:-/etc/agent-orchestrator}
home=${AGENT_HOME:-/opt/agent-orchestrator}
revision=$(cd "$(dirname "$0")/.." && pwd)
release=ao
namespace=agent-orchestrator

fail() {
	echo "agent-orchestrator: $*" >&2
	exit 1
}

[ -r "$etc/environment" ] || fail "$etc/environment is not there; it says ENVIRONMENT, AWS_REGION and GITHUB_REPOSITORY"
# shellcheck source=/dev/null
. "$etc/environment"
: "${ENVIRONMENT:?is not set in $etc/environment}" "${AWS_REGION:?is not set in $etc/environment}"
export AWS_REGION
export KUBECONFIG="${KUBECONFIG:-/etc/rancher/k3s/k3s.yaml}"

# One rollout at a time, of a revision or of changed parameters.
take_lock() {
	exec 9>"$home/lock"
	flock -w "${LOCK_SECONDS:-1500}" 9 || fail "another rollout has not ended in ${LOCK_SECONDS:-1500} s"
}

parameters() {
	"$home/cli/bin/agent-orchestrator" ssm-render --path "/agent-orchestrator-api/$ENVIRONMENT" "$@"
}
