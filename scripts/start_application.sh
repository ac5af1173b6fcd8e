#!/bin/sh
# Rolls the revision out with the parameters as they are now. Where it does not become ready, or does no task, the release
# before comes back, and the script fails.
set -eu
. "$(dirname "$0")/server.sh"
take_lock

if [ -d "$home/cli.new" ]; then
	rm -rf "$home/cli"
	mv "$home/cli.new" "$home/cli"
fi
versions=$(parameters --versions)
values=$(parameters)

own=
[ ! -r "$etc/values.yaml" ] || own="--values $etc/values.yaml"
before=$(helm history "$release" --namespace "$namespace" --max 1 --output json 2>/dev/null |
	sed -n 's/.*"revision":\([0-9]*\).*/\1/p')

# printf belongs to the shell: no value is in the arguments of a process.
# shellcheck disable=SC2086  # $own is one option and its value, or nothing
printf '%s' "$values" | helm upgrade "$release" "$revision/chart.tgz" --install --namespace "$namespace" --create-namespace \
	--take-ownership $own --values "$revision/images.yaml" --values - --wait --rollback-on-failure --timeout 30m

if ! helm test "$release" --namespace "$namespace" --logs; then
	[ -z "$before" ] || helm rollback "$release" "$before" --namespace "$namespace" --wait --timeout 30m
	fail "the release does no task; ${before:+revision $before is back}"
fi
printf '%s\n' "$versions" >"$home/versions"
