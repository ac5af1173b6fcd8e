#!/bin/sh
# A Kubernetes control plane (etcd, API server, controller manager, scheduler, kubectl) in the folder $1.
set -eu

cd "$(dirname "$0")/kubernetes"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
done
for command in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
	echo "building $command $version"
	go build -trimpath -ldflags "$flags" -o "$1/" "k8s.io/kubernetes/cmd/$command"
done

cd ../etcd
echo "building etcd"
go build -trimpath -ldflags "-s -w" -o "$1/etcd" go.etcd.io/etcd/server/v3
