{{/* Name of the Secret of .part (stores, providers or worker); empty where there is none. */}}
{{- define "ao.secret" -}}
{{- if eq .Values.secrets.mode "existing" -}}
{{- index .Values.secrets.existing .part -}}
{{- else if or (eq .part "stores") (include "ao.secretNames" . | fromJsonArray) -}}
{{- include "ao.name" (merge (dict "component" .part) .) -}}
{{- end -}}
{{- end -}}

{{/* The names in the Secret of .part that the chart makes, as a JSON array. */}}
{{- define "ao.secretNames" -}}
{{- if eq .Values.secrets.mode "inline" -}}
{{- keys (index .Values.secrets.inline .part) | sortAlpha | toJson -}}
{{- else -}}
{{- $names := dict
  "stores" (list "MONGO_URI" "REDIS_URL" "CELERY_BROKER_URL" "CELERY_RESULT_BACKEND")
  "providers" (include "ao.providerKeys" . | fromJsonArray)
  "worker" .Values.secrets.externalSecret.worker -}}
{{- index $names .part | toJson -}}
{{- end -}}
{{- end -}}

{{/* The settings that name a vendor's key, as a JSON array; each has a sibling …_FILE. */}}
{{- define "ao.providerKeys" -}}
["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "TAVILY_API_KEY"]
{{- end -}}

{{/* The Secret with the key with which the operator calls the API. */}}
{{- define "ao.keysSecret" -}}
{{- .Values.serviceKey.existingSecret | default (include "ao.name" (merge (dict "component" "keys") .)) -}}
{{- end -}}

{{/* The connection strings, with those of the development stores where none is named. */}}
{{- define "ao.stores" -}}
{{- $stores := dict -}}
{{- if .Values.dev.mongodb.enabled -}}
{{- $_ := set $stores "MONGO_URI" (printf "mongodb://%s:27017/?directConnection=true" (include "ao.name" (merge (dict "component" "mongodb") .))) -}}
{{- end -}}
{{- if .Values.dev.valkey.enabled -}}
{{- $_ := set $stores "REDIS_URL" (printf "redis://%s:6379/0" (include "ao.name" (merge (dict "component" "valkey") .))) -}}
{{- end -}}
{{- mergeOverwrite $stores .Values.secrets.inline.stores | toJson -}}
{{- end -}}

{{/* Key in the Secret of the stores, by variable, for API and workers. */}}
{{- define "ao.ownStoreKeys" -}}
{{- $keys := dict -}}
{{- range list "MONGO_URI" "REDIS_URL" "CELERY_BROKER_URL" "CELERY_RESULT_BACKEND" }}{{ $_ := set $keys . . }}{{ end -}}
{{- toJson $keys -}}
{{- end -}}
