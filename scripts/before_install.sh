#!/bin/sh
# Whether this server can roll the revision out, and whether its images are ours. Installs the revision's command line.
set -eu
. "$(dirname "$0")/server.sh"

for program in cosign flock helm python3; do
	command -v "$program" >/dev/null || fail "$program is not installed"
done

images=$(sed -n 's/^ *\(api\|worker\|operator\): *\(.*@sha256:[0-9a-f]\{64\}\)$/\2/p' "$revision/images.yaml")
[ "$(echo "$images" | wc -l)" = 3 ] || fail "$revision/images.yaml does not name three images by their digests"
: "${GITHUB_REPOSITORY:?is not set in $etc/environment}"
for image in $images; do
	cosign verify --output text \
		--certificate-identity "https://github.com/$GITHUB_REPOSITORY/.github/workflows/release.yml@refs/heads/main" \
		--certificate-oidc-issuer https://token.actions.githubusercontent.com "$image" >/dev/null ||
		fail "$image has no signature of the workflow release.yml in $GITHUB_REPOSITORY"
done

rm -rf "$home/cli.new"
python3 -m venv "$home/cli.new"
"$home/cli.new/bin/python" -m pip install --quiet --require-hashes -r "$revision/deploy.lock"
"$home/cli.new/bin/python" -m pip install --quiet --no-deps "$revision"/*.whl
