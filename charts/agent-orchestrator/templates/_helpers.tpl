{{/* Name of an object of .component, at most 63 characters. A long release name is cut, and a checksum keeps it unique. */}}
{{- define "ao.name" -}}
{{- $base := .Values.fullnameOverride | default .Release.Name -}}
{{- if not (or .Values.fullnameOverride (contains "agent-orchestrator" $base)) -}}{{- $base = printf "%s-agent-orchestrator" $base -}}{{- end -}}
{{- if gt (len $base) 52 -}}
{{- $base = printf "%s-%s" ($base | trunc 43 | trimSuffix "-") (sha256sum $base | trunc 8) -}}
{{- end -}}
{{- printf "%s-%s" $base .component -}}
{{- end -}}

{{/* Name of an object outside of the release's namespace. The dot keeps it unique, because no namespace contains a dot. */}}
{{- define "ao.clusterName" -}}
{{- printf "%s.%s" .Release.Namespace (include "ao.name" .) -}}
{{- end -}}

{{/* Selector of the pods of all components of the release. */}}
{{- define "ao.releaseSelector" -}}
app.kubernetes.io/name: agent-orchestrator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ao.selector" -}}
{{ include "ao.releaseSelector" . }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ao.labels" -}}
{{ include "ao.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ao.image" -}}
{{- $named := printf "%s%s" .Values.images.registry (index .Values.images .component) -}}
{{- $tagged := printf "%s:%s" $named (include "ao.text" (.Values.images.tag | default .Chart.AppVersion)) -}}
{{- index .Values.images.references .component | default $tagged -}}
{{- end -}}

{{/* A value as text. Helm reads numbers as floats, so a large whole number would otherwise get an exponent. */}}
{{- define "ao.text" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* A map with all values as text, the form that ConfigMaps and Secrets require. */}}
{{- define "ao.texts" -}}
{{- range $name, $value := . }}
{{ $name }}: {{ include "ao.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Namespaces whose AgentTasks the operator serves, without duplicates, as a JSON array; empty if it serves all. */}}
{{- define "ao.servedNamespaces" -}}
{{- if .Values.operator.allNamespaces }}[]{{ else -}}
{{- $named := .Values.operator.namespaces -}}
{{- if and $named (kindIs "slice" $named) }}{{ uniq $named | toJson }}{{ else }}{{ list .Release.Namespace | toJson }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Served namespaces that an upgrade does not find any more, as a JSON array; empty if Helm does not see the cluster. An
account of one namespace may not read Namespaces, so only one without the release's RoleBinding is looked for. */}}
{{- define "ao.goneNamespaces" -}}
{{- $gone := list -}}
{{- range $namespace := include "ao.servedNamespaces" . | fromJsonArray -}}
{{- if and $.Release.IsUpgrade $.Values.rbac.create (ne $namespace $.Release.Namespace) -}}
{{- $name := include "ao.operatorRole" (merge (dict "namespace" $namespace) $) -}}
{{- $there := lookup "rbac.authorization.k8s.io/v1" "RoleBinding" $namespace "" -}}
{{- $bound := false -}}
{{- range $there.items -}}{{- if eq .metadata.name $name -}}{{- $bound = true -}}{{- end -}}{{- end -}}
{{- if and (hasKey $there "items") (not $bound) -}}
{{- $found := lookup "v1" "Namespace" "" $namespace -}}
{{- if or (not $found) $found.metadata.deletionTimestamp -}}{{- $gone = append $gone $namespace -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $gone -}}
{{- end -}}

{{/* Name of the operator's Role and RoleBinding in .namespace. Outside of the release's namespace, the name contains that
namespace, because several releases can have a Role there. */}}
{{- define "ao.operatorRole" -}}
{{- $operator := merge (dict "component" "operator") . -}}
{{- ternary (include "ao.name" $operator) (include "ao.clusterName" $operator) (eq .namespace .Release.Namespace) -}}
{{- end -}}

{{/* Annotations of an object that exists only while the release is being uninstalled; those of lower .weight come first. */}}
{{- define "ao.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
