#!/bin/sh
# Rolls out the revision with the current parameters. If the release does not become ready, or does not complete a task,
# the script restores the previous release and fails.
set -eu
. "$(dirname "$0")/server.sh"
take_lock

# Prints the newest revision of the release that was in use, or nothing if there was none.
deployed() {
	history=$(helm history "$release" --namespace "$namespace" --output json 2>&1) || {
		case $history in
		*"not found"*) return ;;
		*) fail "$history" ;;
		esac
	}
	echo "$history" | python3 -c '
import json, sys
print(max((found["revision"] for found in json.load(sys.stdin) if found["status"] in ("deployed", "superseded")), default=""))'
}

go_back() {
	if [ -n "$before" ]; then
		helm rollback "$release" "$before" --namespace "$namespace" --force-conflicts --wait --timeout "$helm_timeout"
	fi
}

before=$(deployed)
# A Helm that was interrupted leaves the release in a pending status, and every later Helm refuses to change it.
case $(helm status "$release" --namespace "$namespace" --output json 2>/dev/null) in
*'"status":"pending-install"'*) helm uninstall "$release" --namespace "$namespace" --wait --timeout "$helm_timeout" ;;
*'"status":"pending-'*) go_back ;;
esac

versions=$(parameters --versions)
values=$(parameters)
printf '%s\n' "$versions" >"$home/tried"

# This script owns the release: it overrides fields that others have set in the meantime, such as the replicas from an
# earlier autoscaling mode.
own=
[ ! -r "$etc/values.yaml" ] || own="--values $etc/values.yaml"
# printf is built into the shell, so no secret value appears in the arguments of a process.
# shellcheck disable=SC2086  # $own is one option and its value, or nothing
printf '%s' "$values" | helm upgrade "$release" "$revision/chart.tgz" --install --namespace "$namespace" --create-namespace \
	--take-ownership --force-conflicts $own --values "$revision/images.yaml" --values - --wait --rollback-on-failure --timeout "$helm_timeout"

if ! helm test "$release" --namespace "$namespace" --logs --timeout 5m; then
	go_back
	fail "the release did not complete the test task; ${before:+rolled back to revision $before}"
fi

# From here on, the timer rolls out this revision.
if [ "$revision" != "$home/current" ]; then
	rm -rf "$home/current.new"
	cp -R "$revision" "$home/current.new"
	rm -rf "$home/current"
	mv "$home/current.new" "$home/current"
fi
for old in "$home"/cli-*; do
	[ "$old" = "$cli" ] || rm -rf "$old"
done
cp "$revision"/systemd/agent-orchestrator-parameters.* "$units/"
systemctl daemon-reload
systemctl enable --now agent-orchestrator-parameters.timer
