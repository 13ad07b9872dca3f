{{- /*
checks: what the schema cannot say, or says less clearly; all problems at once. Nothing is ever ignored in silence:
a value that asks for what this release does not do stops the install. Every file that renders objects from the values
begins with it, because Helm renders files in no particular order.
*/ -}}
{{- define "checks" -}}
{{- include "aporeto.refuse" (include "checks.problems" .) -}}
{{- end -}}

{{- define "checks.problems" -}}
{{- include "aporeto.missing" . }}
{{- $shard := index .Values "mongodb-shard" }}
{{- if $shard.enabled }}
{{- if gt (int .Values.global.zones) 1 }}
mongodb-shard.enabled: with {{ int .Values.global.zones }} zones each would have a database and a lease of its own, and two would serve; run: kubectl aporeto value set enabled false mongodb-shard
{{- end }}
{{- if not $shard.image.repository }}
mongodb-shard.image.repository is required: an image with mongod and mongos from your registry; run: kubectl aporeto value set image.repository REGISTRY/mongo mongodb-shard
{{- else }}
{{- include "aporeto.image.problem" (dict "root" $ "path" "mongodb-shard.image" "image" $shard.image) }}
{{- end }}
{{- end }}
{{- range $name, $service := .Values.services }}
{{- if eq (include "service.enabled" $service) "true" }}
{{- if not (dig "image" "" $service) }}
services.{{ $name }}.image is required: "repository:tag", or a map of repository, tag and digest
{{- else }}
{{- include "aporeto.image.problem" (dict "root" $ "path" (printf "services.%s.image" $name) "image" $service.image) }}
{{- end }}
{{- if dig "activeOnly" false $service }}
{{- if not (dig "command" list $service) }}
services.{{ $name }}.command is required with activeOnly: what is held is a command, and nobody knows the image's own entrypoint
{{- end }}
{{- range dig "ports" list $service }}
{{- if eq (int .containerPort) 9091 }}
services.{{ $name }}.ports: containerPort 9091 is where a held service answers its probes; let the service listen on another
{{- end }}
{{- end }}
{{- range $kind, $probe := dig "probes" dict $service }}
{{- if not (or (hasKey $probe "httpGet") (hasKey $probe "tcpSocket") (hasKey $probe "exec")) }}
services.{{ $name }}.probes.{{ $kind }}: a held service's probes are httpGet, tcpSocket or exec
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
