#!/bin/sh
# Builds kubeconform and helm-docs into the folder $1, and copies the CRDs of other projects whose objects the chart can make
# into its folder crds/.
set -eu

cd "$(dirname "$0")"
echo "building kubeconform and helm-docs"
go build -trimpath -ldflags "-s -w" -o "$1/" github.com/yannh/kubeconform/cmd/kubeconform github.com/norwoodj/helm-docs/cmd/helm-docs

cd crds
target=$1/crds
mkdir "$target"
copy() { # copy MODULE FILE...
	folder=$(go mod download -json "$1" | sed -n 's/^.*"Dir": "\(.*\)",$/\1/p')
	shift
	for file in "$@"; do
		cp "$folder/$file" "$target/"
	done
}
copy github.com/k3s-io/helm-controller pkg/crds/yaml/generated/helm.cattle.io_helmcharts.yaml \
	pkg/crds/yaml/generated/helm.cattle.io_helmchartconfigs.yaml
copy github.com/kedacore/keda/v2 config/crd/bases/keda.sh_scaledobjects.yaml \
	config/crd/bases/keda.sh_triggerauthentications.yaml
copy github.com/external-secrets/external-secrets config/crds/bases/external-secrets.io_externalsecrets.yaml \
	config/crds/bases/external-secrets.io_secretstores.yaml
copy github.com/prometheus-operator/prometheus-operator \
	example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml \
	example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
chmod 644 "$target"/*
