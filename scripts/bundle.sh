#!/bin/sh
# bundle.sh FOLDER COMMIT IMAGE_API IMAGE_WORKER IMAGE_OPERATOR: packs a revision for CodeDeploy into FOLDER/revision.zip:
# the scripts, the chart, the digests of the images, the command line with its lock, and the configuration of the agents
# for logs and metrics. It needs helm and python3.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=$1 commit=$2 api=$3 worker=$4 operator=$5
for image in "$api" "$worker" "$operator"; do
	case $image in
	*@sha256:*) ;;
	*)
		echo "bundle.sh: $image has no digest; name it as NAME@sha256:..." >&2
		exit 1
		;;
	esac
done

mkdir -p "$out/revision/scripts"
cp "$root/appspec.yml" "$root/requirements/deploy.lock" "$out/revision/"
cp "$root"/scripts/*.sh "$out/revision/scripts/"
cp -R "$root/k8s/k3s/systemd" "$root/k8s/k3s/fluent-bit" "$root/k8s/k3s/cloudwatch-agent" \
	"$root/k8s/k3s/traefik.yaml" "$root/k8s/monitoring" "$out/revision/"
echo "$commit" >"$out/revision/commit"
cat >"$out/revision/images.yaml" <<IMAGES
images:
  references:
    api: $api
    worker: $worker
    operator: $operator
IMAGES
helm package "$root/charts/agent-orchestrator" --destination "$out"
mv "$out"/agent-orchestrator-*.tgz "$out/revision/chart.tgz"
python3 -m pip wheel --quiet --no-deps --wheel-dir "$out/revision" "$root"
(cd "$out/revision" && python3 -m zipfile -c ../revision.zip ./*)
