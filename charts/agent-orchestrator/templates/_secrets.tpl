{{/* Name of the Secret of .part (stores, providers or worker); empty where there is none. What another one than Helm makes
has a name that Helm never used, so that no two of them own one object. */}}
{{- define "ao.secret" -}}
{{- $mode := .Values.secrets.mode -}}
{{- if eq $mode "existing" -}}
{{- index .Values.secrets.existing .part -}}
{{- else if or (eq .part "stores") (include "ao.secretNames" . | fromJsonArray) -}}
{{- include "ao.name" (merge (dict "component" (include "ao.secretComponent" .)) .) -}}
{{- end -}}
{{- end -}}

{{/* The component in that name; of ten characters at most, so that the longest name has 63. */}}
{{- define "ao.secretComponent" -}}
{{- $external := dict "stores" "aws-stores" "providers" "aws-vendor" "worker" "aws-worker" -}}
{{- ternary (index $external .part) .part (eq .Values.secrets.mode "externalSecret") -}}
{{- end -}}

{{/* The names in the Secret of .part that the chart makes, as a JSON array. */}}
{{- define "ao.secretNames" -}}
{{- if eq .Values.secrets.mode "inline" -}}
{{- keys (index .Values.secrets.inline .part) | sortAlpha | toJson -}}
{{- else if eq .part "stores" -}}
{{- include "ao.storeNames" . -}}
{{- else if eq .part "providers" -}}
{{- include "ao.providerKeys" . -}}
{{- else -}}
{{- .Values.secrets.externalSecret.worker | toJson -}}
{{- end -}}
{{- end -}}

{{/* Whether pods start without the Secret: nobody knows which parameters of these kinds there are. */}}
{{- define "ao.optionalSecret" -}}
{{- eq .Values.secrets.mode "externalSecret" -}}
{{- end -}}

{{/* The connection strings that API and workers read, as a JSON array. */}}
{{- define "ao.storeNames" -}}
["MONGO_URI", "REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"]
{{- end -}}

{{/* The settings that name a vendor's key, as a JSON array; each has a sibling …_FILE. */}}
{{- define "ao.providerKeys" -}}
["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "TAVILY_API_KEY"]
{{- end -}}

{{/* The Secret with the key with which the operator calls the API. */}}
{{- define "ao.keysSecret" -}}
{{- .Values.serviceKey.existingSecret | default (include "ao.name" (merge (dict "component" "keys") .)) -}}
{{- end -}}

{{/* The port on which a development store listens. */}}
{{- define "ao.devPorts" -}}
{"valkey": 6379, "mongodb": 27017, "simulator": 8099}
{{- end -}}

{{/* The connection strings, with those of the development stores where none is named. */}}
{{- define "ao.stores" -}}
{{- $ports := include "ao.devPorts" . | fromJson -}}
{{- $stores := dict -}}
{{- if .Values.dev.mongodb.enabled -}}
{{- $_ := set $stores "MONGO_URI" (printf "mongodb://%s:%v/?directConnection=true" (include "ao.name" (merge (dict "component" "mongodb") .)) $ports.mongodb) -}}
{{- end -}}
{{- if .Values.dev.valkey.enabled -}}
{{- $_ := set $stores "REDIS_URL" (printf "redis://%s:%v/0" (include "ao.name" (merge (dict "component" "valkey") .)) $ports.valkey) -}}
{{- end -}}
{{- mergeOverwrite $stores .Values.secrets.inline.stores | toJson -}}
{{- end -}}

{{/* Connection strings as environment variables. .keys: key in the Secret by variable; without it, of API and workers. */}}
{{- define "ao.storeVariables" -}}
{{- $keys := .keys | default dict -}}
{{- if not $keys -}}{{- range include "ao.storeNames" . | fromJsonArray }}{{ $_ := set $keys . . }}{{ end -}}{{- end -}}
{{- range $name, $key := $keys }}
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
