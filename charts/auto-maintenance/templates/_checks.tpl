{{- /* checks: what the schema cannot say, or says less clearly; all problems at once. */ -}}
{{- define "checks" -}}
{{- include "aporeto.refuse" (include "checks.problems" .) -}}
{{- end -}}

{{- define "checks.problems" -}}
{{- include "aporeto.missing" . }}
{{- if not .Values.endpoint }}
auto-maintenance.endpoint is required: the URL of the global record, for example https://api.example.com
{{- end }}
{{- if gt (int .Values.threshold) (int .Values.samples) }}
auto-maintenance.threshold: {{ int .Values.threshold }} of {{ int .Values.samples }} samples can never agree; threshold must not be above samples
{{- end }}
{{- end -}}
