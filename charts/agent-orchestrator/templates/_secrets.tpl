{{/* Name of the Secret of .part (stores, providers or worker; in the mode externalSecret also keys); empty if there is none.
A Secret that Helm does not create has a name that Helm never used, so that an object never has two owners. */}}
{{- define "ao.secret" -}}
{{- $mode := .Values.secrets.mode -}}
{{- if eq $mode "existing" -}}
{{- index .Values.secrets.existing .part -}}
{{- else if or (eq .part "stores") (include "ao.secretNames" . | fromJsonArray) -}}
{{- include "ao.name" (merge (dict "component" (include "ao.secretComponent" .)) .) -}}
{{- end -}}
{{- end -}}

{{/* The component in that name: at most ten characters, because the whole name may have 63. */}}
{{- define "ao.secretComponent" -}}
{{- $external := dict "stores" "aws-stores" "providers" "aws-vendor" "worker" "aws-worker" "keys" "aws-keys" -}}
{{- ternary (index $external .part) .part (eq .Values.secrets.mode "externalSecret") -}}
{{- end -}}

{{/* Names of the entries in the Secret of .part that the chart creates, or lets create, as a JSON array. Entries of a store
without paths must exist, so only those that the values name are asked for. */}}
{{- define "ao.secretNames" -}}
{{- $names := include "ao.possibleNames" . | fromJsonArray -}}
{{- $references := .Values.secrets.externalSecret.references -}}
{{- $asked := list -}}
{{- range $names }}{{ if or (not $references) (hasKey $references .) }}{{ $asked = append $asked . }}{{ end }}{{ end -}}
{{- $asked | toJson -}}
{{- end -}}

{{- define "ao.possibleNames" -}}
{{- if eq .Values.secrets.mode "inline" -}}
{{- keys (index .Values.secrets.inline .part) | sortAlpha | toJson -}}
{{- else if eq .part "stores" -}}
{{- include "ao.storeNames" . -}}
{{- else if eq .part "providers" -}}
{{- include "ao.providerKeys" . -}}
{{- else if eq .part "keys" -}}
{{- compact (list .Values.serviceKey.parameter) | toJson -}}
{{- else -}}
{{- .Values.secrets.externalSecret.worker | toJson -}}
{{- end -}}
{{- end -}}

{{/* True if pods start without the Secret: the chart cannot know which of these parameters exist. */}}
{{- define "ao.optionalSecret" -}}
{{- eq .Values.secrets.mode "externalSecret" -}}
{{- end -}}

{{/* Settings with the connection strings that API and workers read, as a JSON array. */}}
{{- define "ao.storeNames" -}}
["MONGO_URI", "REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"]
{{- end -}}

{{/* Settings with a provider's key, as a JSON array; each has a sibling …_FILE. */}}
{{- define "ao.providerKeys" -}}
["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "TAVILY_API_KEY"]
{{- end -}}

{{/* Name of the Secret with the service key, which the operator sends to the API, in its entry service-key. */}}
{{- define "ao.keysSecret" -}}
{{- $component := ternary "aws-keys" "keys" (not (empty .Values.serviceKey.parameter)) -}}
{{- .Values.serviceKey.existingSecret | default (include "ao.name" (merge (dict "component" $component) .)) -}}
{{- end -}}

{{/* Mount and volume of that Secret: its entry is the file /keys/service-key. */}}
{{- define "ao.keysMount" -}}
- {name: keys, mountPath: /keys, readOnly: true}
{{- end -}}

{{- define "ao.keysVolume" -}}
- name: keys
  secret:
    secretName: {{ include "ao.keysSecret" . }}
{{- end -}}

{{/* Ports of the development stores and of the simulator, as a JSON object. */}}
{{- define "ao.devPorts" -}}
{"valkey": 6379, "mongodb": 27017, "simulator": 8099}
{{- end -}}

{{/* Connection strings as a JSON object; the values override those of the development stores. */}}
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

{{/* Connection strings as environment variables. .keys maps variables to keys in the Secret; if absent, the variables of API
and workers. */}}
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
