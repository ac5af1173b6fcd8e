#!/bin/sh
# Checks that this server can roll out the revision, and that the workflow built the images from the revision's commit.
# Installs the revision's command line and its configuration of logs and metrics.
set -eu
. "$(dirname "$0")/server.sh"
take_lock

fluent_bit=$root/opt/fluent-bit/bin/fluent-bit
agent=$root/opt/aws/amazon-cloudwatch-agent
for program in cosign docker-credential-ecr-login helm python3 "$fluent_bit" "$agent/bin/amazon-cloudwatch-agent-ctl"; do
	command -v "$program" >/dev/null || fail "$program is not installed"
done

: "${GITHUB_REPOSITORY:?is not set in $etc/environment}"
for component in api worker operator; do
	image=$(sed -n "s/^ *$component: *\(.*\/agent-orchestrator-$component@sha256:[0-9a-f]\{64\}\)\$/\1/p" "$revision/images.yaml")
	[ "$(echo "$image" | grep -c .)" = 1 ] || fail "$revision/images.yaml does not name the image $component by its digest"
	cosign verify --output text \
		--certificate-identity "https://github.com/$GITHUB_REPOSITORY/.github/workflows/release.yml@refs/heads/main" \
		--certificate-oidc-issuer https://token.actions.githubusercontent.com \
		--certificate-github-workflow-sha "$(cat "$revision/commit")" "$image" >/dev/null ||
		fail "cannot verify the signature of $image: release.yml of $GITHUB_REPOSITORY must have signed it for this commit"
done

if [ ! -e "$cli/complete" ]; then
	rm -rf "$cli"
	python3 -m venv "$cli"
	"$cli/bin/python" -m pip install --quiet --require-hashes -r "$revision/deploy.lock"
	"$cli/bin/python" -m pip install --quiet --no-deps "$revision"/*.whl
	touch "$cli/complete"
fi

# Restarts a service if its configuration has changed since its last start.
configured() { # configured SERVICE FILE TARGET...
	service=$1 read=
	shift
	while [ $# -gt 0 ]; do
		install -D -m 0644 "$revision/$1" "$2"
		read="$read $(cksum <"$2")"
		shift 2
	done
	systemctl enable "$service"
	if [ "$read" != "$(cat "$home/$service.started" 2>/dev/null)" ] || ! systemctl is-active --quiet "$service"; then
		systemctl daemon-reload
		systemctl restart "$service"
		echo "$read" >"$home/$service.started"
	fi
}

configured fluent-bit \
	fluent-bit/fluent-bit.yaml "$root/etc/fluent-bit/agent-orchestrator.yaml" \
	fluent-bit/service.conf "$units/fluent-bit.service.d/agent-orchestrator.conf"
configured amazon-cloudwatch-agent \
	cloudwatch-agent/prometheus.yaml "$agent/etc/agent-orchestrator-prometheus.yaml" \
	cloudwatch-agent/agent-orchestrator.json "$agent/etc/amazon-cloudwatch-agent.d/agent-orchestrator.json"
