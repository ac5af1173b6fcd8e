#!/bin/sh
# Rolls the revision out with the parameters as they are now. Where it does not become ready, or does no task, the release
# before comes back, and the script fails.
set -eu
. "$(dirname "$0")/server.sh"
take_lock

# Prints the newest revision of the release that was in use, or nothing, where none ever was.
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
# A Helm that was ended in the middle leaves its mark, and every later one refuses to go on.
case $(helm status "$release" --namespace "$namespace" --output json 2>/dev/null) in
*'"status":"pending-install"'*) helm uninstall "$release" --namespace "$namespace" --wait --timeout "$helm_timeout" ;;
*'"status":"pending-'*) go_back ;;
esac

versions=$(parameters --versions)
values=$(parameters)
printf '%s\n' "$versions" >"$home/tried"

# This is who owns the release: a field that somebody else has set meanwhile, the replicas of another way to scale among
# them, is taken back.
own=
[ ! -r "$etc/values.yaml" ] || own="--values $etc/values.yaml"
# printf belongs to the shell: no value is in the arguments of a process.
# shellcheck disable=SC2086  # $own is one option and its value, or nothing
printf '%s' "$values" | helm upgrade "$release" "$revision/chart.tgz" --install --namespace "$namespace" --create-namespace \
	--take-ownership --force-conflicts $own --values "$revision/images.yaml" --values - --wait --rollback-on-failure --timeout "$helm_timeout"

if ! helm test "$release" --namespace "$namespace" --logs --timeout 5m; then
	go_back
	fail "the release does no task; ${before:+revision $before is back}"
fi

# From here on the timer rolls this revision out.
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
