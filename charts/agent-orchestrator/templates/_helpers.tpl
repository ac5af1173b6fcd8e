{{/* A name with its component, at most 63 characters. A long release name is cut, and told apart by a checksum. */}}
{{- define "ao.name" -}}
{{- $base := .Release.Name -}}
{{- if not (contains "agent-orchestrator" $base) -}}{{- $base = printf "%s-agent-orchestrator" $base -}}{{- end -}}
{{- if gt (len $base) 52 -}}
{{- $base = printf "%s-%s" ($base | trunc 43 | trimSuffix "-") (sha256sum $base | trunc 8) -}}
{{- end -}}
{{- printf "%s-%s" $base .component -}}
{{- end -}}

{{/* A name for what belongs to no namespace, or to another one than the release: a namespace has no dot in it. */}}
{{- define "ao.clusterName" -}}
{{- printf "%s.%s" .Release.Namespace (include "ao.name" .) -}}
{{- end -}}

{{/* The release's own pods, of all components. */}}
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
{{- end -}}

{{- define "ao.image" -}}
{{- $named := printf "%s%s" .Values.images.registry (index .Values.images .component) -}}
{{- $tagged := printf "%s:%s" $named (include "ao.text" (.Values.images.tag | default .Chart.AppVersion)) -}}
{{- index .Values.images.references .component | default $tagged -}}
{{- end -}}

{{/* A value as a text; whole numbers without an exponent, which values files would give large ones. */}}
{{- define "ao.text" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* A map with all values as texts, as ConfigMaps and Secrets want them. */}}
{{- define "ao.texts" -}}
{{- range $name, $value := . }}
{{ $name }}: {{ include "ao.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The namespaces whose AgentTasks the operator serves, each of them once, as a JSON array. */}}
{{- define "ao.servedNamespaces" -}}
{{- $named := .Values.operator.namespaces -}}
{{- if and $named (kindIs "slice" $named) }}{{ uniq $named | toJson }}{{ else }}{{ list .Release.Namespace | toJson }}{{ end -}}
{{- end -}}

{{/* Name of the operator's Role in .namespace. Releases of other namespaces may have a Role there, so the name tells them apart. */}}
{{- define "ao.operatorRole" -}}
{{- $operator := merge (dict "component" "operator") . -}}
{{- ternary (include "ao.name" $operator) (include "ao.clusterName" $operator) (eq .namespace .Release.Namespace) -}}
{{- end -}}
