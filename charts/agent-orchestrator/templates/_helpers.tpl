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

{{- define "ao.selector" -}}
app.kubernetes.io/name: agent-orchestrator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ao.labels" -}}
{{ include "ao.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ao.image" -}}
{{- printf "%s%s:%s" .Values.images.registry (index .Values.images .component) (include "ao.text" (.Values.images.tag | default .Chart.AppVersion)) -}}
{{- end -}}

{{- define "ao.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "ao.storesSecret" -}}
{{- .Values.stores.existingSecret | default (include "ao.name" (merge (dict "component" "stores") .)) -}}
{{- end -}}

{{- define "ao.keysSecret" -}}
{{- .Values.serviceKey.existingSecret | default (include "ao.name" (merge (dict "component" "keys") .)) -}}
{{- end -}}

{{/* Moves when the stores do, so that no two pods use different ones for longer than a rollout. */}}
{{- define "ao.storesChecksum" -}}
checksum/stores: {{ toJson .Values.stores | sha256sum }}
{{- end -}}

{{/* The environment of API and workers: where the stores are, and .own over what both have. */}}
{{- define "ao.environment" -}}
{{- range $name := list "MONGO_URI" "REDIS_URL" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ include "ao.storesSecret" $ }}, key: {{ $name }}}
{{- end }}
{{- $shared := dict "AGENT_TASK_DEADLINE_SECONDS" .Values.tasks.deadlineSeconds -}}
{{- include "ao.variables" (mergeOverwrite $shared .Values.env .own) -}}
{{- end -}}

{{/* The simulator in place of the models and of the search, under the workers' own variables. */}}
{{- define "ao.simulated" -}}
{{- if .Values.dev.simulator.enabled -}}
{{- $simulator := printf "http://%s:8099" (include "ao.name" (merge (dict "component" "simulator") .)) -}}
OPENAI_API_KEY: simulated
OPENAI_BASE_URL: {{ $simulator }}/v1
TAVILY_API_KEY: simulated
TAVILY_BASE_URL: {{ $simulator }}
{{- end -}}
{{- end -}}

{{/* Environment variables from a map of names and values. */}}
{{- define "ao.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "ao.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A value as a text; whole numbers without an exponent, which values files would give large ones. */}}
{{- define "ao.text" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}
