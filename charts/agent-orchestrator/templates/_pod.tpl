{{/* Of every pod of .component: labels and annotations. .checksums moves them when what they read at their start does;
.metricsPort is where their metrics are. */}}
{{- define "ao.podMetadata" -}}
{{- $own := index .Values .component -}}
labels:
  {{- include "ao.selector" . | nindent 2 }}
  {{- with $own.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
annotations:
  checksum/settings: {{ list .Values.env (include "ao.stores" .) .Values.secrets.mode .Values.secrets.inline.worker | toJson | sha256sum }}
  {{- if .Values.monitoring.scrapeAnnotations }}
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ .metricsPort | quote }}
  prometheus.io/path: /metrics
  {{- end }}
  {{- with $own.podAnnotations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}

{{/* Of every pod of .component: what it may do, and where it runs. */}}
{{- define "ao.podSettings" -}}
{{- $own := index .Values .component -}}
automountServiceAccountToken: {{ eq .component "operator" }}
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ mergeOverwrite (dict "labelSelector" (dict "matchLabels" (include "ao.selector" $ | fromYaml))) . | toJson }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "ao.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The settings that all processes share. */}}
{{- define "ao.sharedSettings" -}}
- configMapRef: {name: {{ include "ao.name" (merge (dict "component" "settings") .) }}}
{{- end -}}

{{/* Connection strings as environment variables. .keys: key in the Secret by variable. */}}
{{- define "ao.storeVariables" -}}
{{- range $name, $key := .keys }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "ao.secret" (merge (dict "part" "stores") $) }}
      key: {{ $key }}
      {{- if hasPrefix "CELERY_" $name }}
      optional: true
      {{- end }}
{{- end }}
{{- end -}}

{{/* Environment variables from a map of names and values. */}}
{{- define "ao.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "ao.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The simulator in place of the models and of the search. */}}
{{- define "ao.simulated" -}}
{{- if .Values.dev.simulator.enabled -}}
{{- $simulator := printf "http://%s:8099" (include "ao.name" (merge (dict "component" "simulator") .)) -}}
OPENAI_BASE_URL: {{ $simulator }}/v1
TAVILY_BASE_URL: {{ $simulator }}
{{- if not (include "ao.secret" (merge (dict "part" "providers") .)) }}
OPENAI_API_KEY: simulated
TAVILY_API_KEY: simulated
{{- end }}
{{- end -}}
{{- end -}}
