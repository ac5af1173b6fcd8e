{{/* Port on which .component serves HTTP, including its metrics. */}}
{{- define "ao.port" -}}
{{- get (dict "api" 8080 "worker" 9100 "operator" 9110) .component -}}
{{- end -}}

{{/* Labels and annotations of the pods of .component. The checksum changes with the settings that a pod reads only at its
start, so that Kubernetes then replaces the pods. */}}
{{- define "ao.podMetadata" -}}
{{- $own := index .Values .component -}}
{{- $read := list (include "ao.settings" .) (include "ao.stores" .) .Values.secrets.mode -}}
{{- if eq .component "worker" }}{{ $read = append $read .Values.secrets.inline.worker }}{{ end -}}
{{- $annotations := dict "checksum/settings" (toJson $read | sha256sum) -}}
{{- if .Values.monitoring.scrapeAnnotations -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/port" (include "ao.port" .) -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- /* Otherwise the Cluster Autoscaler keeps every node with such a pod. Whether a volume of the values may be lost is up to
its owner, who can set the annotation. */}}
{{- $disposable := "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes" -}}
{{- if not (hasKey $own.podAnnotations $disposable) }}{{ $_ := set $annotations $disposable "tmp" }}{{ end -}}
labels: {{- merge (include "ao.selector" . | fromYaml) $own.podLabels | toYaml | nindent 2 }}
annotations: {{- merge $annotations $own.podAnnotations | toYaml | nindent 2 }}
{{- end -}}

{{/* Security context, scheduling and pull secrets of the pods of .component. */}}
{{- define "ao.podSettings" -}}
{{- $own := index .Values .component -}}
automountServiceAccountToken: {{ eq .component "operator" }}
serviceAccountName: {{ include "ao.account" . }}
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
  {{- $selector := dict "matchLabels" (include "ao.selector" $ | fromYaml) }}
  - {{ hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" $selector) .) | toJson }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Settings that all processes share: the data of the ConfigMap. */}}
{{- define "ao.settings" -}}
AGENT_TASK_DEADLINE_SECONDS: {{ include "ao.text" .Values.tasks.deadlineSeconds | quote }}
{{- include "ao.texts" .Values.env }}
{{- end -}}

{{- define "ao.sharedSettings" -}}
- configMapRef: {name: {{ include "ao.name" (merge (dict "component" "settings") .) }}}
{{- end -}}

{{/* Environment variables from a map of names and values. */}}
{{- define "ao.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "ao.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Settings that replace the models and the search by the simulator. */}}
{{- define "ao.simulated" -}}
{{- if .Values.dev.simulator.enabled -}}
{{- $port := get (include "ao.devPorts" . | fromJson) "simulator" -}}
{{- $simulator := printf "http://%s:%v" (include "ao.name" (merge (dict "component" "simulator") .)) $port -}}
OPENAI_API_KEY: simulated
OPENAI_BASE_URL: {{ $simulator }}/v1
LLM_PEER_MODEL: sim-router
LLM_CONTENT_MODEL: sim-writer
LLM_CODE_MODEL: gpt-6-sim-coder
AGENT_PRIMARY_MODEL: sim-primary
AGENT_FALLBACK_MODEL: gpt-6-sim-next,claude-sim-next
TAVILY_API_KEY: simulated
TAVILY_BASE_URL: {{ $simulator }}
{{- end -}}
{{- end -}}

{{/* Mounts that API, workers and operator share: a writable /tmp, and the certificate authorities that they trust. */}}
{{- define "ao.sharedMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.trust.configMap }}
- {name: trust, mountPath: /trust, readOnly: true}
{{- end }}
{{- end -}}

{{- define "ao.sharedVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmp.sizeLimit }}}
{{- with .Values.trust.configMap }}
- name: trust
  configMap: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/* Name of the service account of the pods of .component. */}}
{{- define "ao.account" -}}
{{- $own := (index .Values .component).serviceAccount -}}
{{- $own.name | default (ternary (include "ao.name" .) "default" $own.create) -}}
{{- end -}}

{{/* The service account of .component, if the chart creates it. */}}
{{- define "ao.serviceAccount" -}}
{{- $own := (index .Values .component).serviceAccount -}}
{{- if $own.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "ao.account" . }}
  labels: {{- include "ao.labels" . | nindent 4 }}
  {{- with $own.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The Deployment of .component, made by the template `ao.deployment.<component>`, with the additions of its values. A field
of deploymentSpec, podSpec or containerSpec replaces the chart's; the lists are appended to the chart's. */}}
{{- define "ao.deployment" -}}
{{- $own := index .Values .component -}}
{{- $deployment := include (printf "ao.deployment.%s" .component) . | fromYaml -}}
{{- with $deployment.Error }}{{ fail . }}{{ end -}}
{{- $pod := $deployment.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- with $own.annotations }}{{ $_ := set $deployment.metadata "annotations" . }}{{ end -}}
{{- range $field, $value := $own.deploymentSpec }}{{ $_ := set $deployment.spec $field $value }}{{ end -}}
{{- range $field, $value := $own.podSpec }}{{ $_ := set $pod $field $value }}{{ end -}}
{{- range $field, $value := $own.containerSpec }}{{ $_ := set $container $field $value }}{{ end -}}
{{- $_ := set $container "env" (concat $container.env ($own.extraEnv | default list)) -}}
{{- $_ := set $container "envFrom" (concat $container.envFrom ($own.extraEnvFrom | default list)) -}}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts ($own.extraVolumeMounts | default list)) -}}
{{- $_ := set $pod "volumes" (concat $pod.volumes ($own.extraVolumes | default list)) -}}
{{- $_ := set $pod "containers" (concat $pod.containers ($own.extraContainers | default list)) -}}
{{- with $own.initContainers }}{{ $_ := set $pod "initContainers" . }}{{ end -}}
{{- toYaml $deployment -}}
{{- end -}}

{{/* The HorizontalPodAutoscaler of .component, with the settings .hpa. */}}
{{- define "ao.hpa" -}}
{{- $name := include "ao.name" . -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "ao.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ .hpa.minReplicas }}
  maxReplicas: {{ .hpa.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .hpa.cpuPercent }}}}
    {{- with .hpa.metrics }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .hpa.behavior }}
  behavior: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
