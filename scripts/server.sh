# Settings of the server and functions for the other scripts, which source this file. AGENT_ROOT is for tests.
# shellcheck shell=sh disable=SC2034

root=${AGENT_ROOT:-}
etc=$root/etc/agent-orchestrator
home=$root/opt/agent-orchestrator
units=$root/etc/systemd/system
revision=$(cd "$(dirname "$0")/.." && pwd -P)
release=ao
namespace=agent-orchestrator
# An upgrade, its rollback, a test and the rollback after the test end within half an hour; the hook has an hour.
helm_timeout=8m
lock_seconds=${LOCK_SECONDS:-1800}

fail() {
	echo "agent-orchestrator: $*" >&2
	exit 1
}

[ -r "$etc/environment" ] || fail "$etc/environment does not exist; create it with ENVIRONMENT, AWS_REGION and GITHUB_REPOSITORY"
# shellcheck source=/dev/null
. "$etc/environment"
: "${ENVIRONMENT:?is not set in $etc/environment}" "${AWS_REGION:?is not set in $etc/environment}"
export AWS_REGION HOME="${HOME:-/root}" DOCKER_CONFIG="${DOCKER_CONFIG:-$etc/docker}"
export KUBECONFIG="${KUBECONFIG:-/etc/rancher/k3s/k3s.yaml}"

# Lets only one rollout run at a time, of a revision or of changed parameters.
take_lock() {
	mkdir -p "$home"
	exec 9>"$home/lock"
	flock -w "$lock_seconds" 9 || fail "another rollout has not ended within $lock_seconds s"
}

# The command line of this revision. Its path contains a checksum of its packages and never changes, because a virtual
# environment cannot be moved.
cli=$home/cli-$(cat "$revision"/deploy.lock "$revision"/*.whl | cksum | tr ' ' '-')

parameters() {
	[ -e "$cli/complete" ] || fail "$cli is not installed; run before_install.sh"
	"$cli/bin/agent-orchestrator" ssm-render --path "/agent-orchestrator-api/$ENVIRONMENT" "$@"
}
