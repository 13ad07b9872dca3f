{{- /*
Templates that both charts use. The file is the same, byte for byte, in both
(charts_test.go holds it so): a library chart would need packaging for so little.

Those with more than one input take a dict: root is the chart's root context,
name the object's name, component one of gateway, service, maintenance.
*/ -}}

{{- /* aporeto.selector: the labels that never change in an object's life. */ -}}
{{- define "aporeto.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- /* aporeto.podLabels: no version in them, so that a new chart restarts no pod by itself. */ -}}
{{- define "aporeto.podLabels" -}}
{{ include "aporeto.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: aporeto
aporeto.io/zone: {{ .root.Values.global.zone | quote }}
{{- end -}}

{{- define "aporeto.labels" -}}
{{ include "aporeto.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- /*
aporeto.metadata: the whole metadata of an object. annotations (optional) are the user's.
*/ -}}
{{- define "aporeto.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "aporeto.labels" . | nindent 2 }}
annotations:
  {{- $own := dict "aporeto.io/environment" (toString .root.Values.global.environment) }}
  {{- toYaml (mergeOverwrite (dict) (deepCopy (get . "annotations" | default dict)) $own) | nindent 2 }}
{{- end -}}

{{- /*
aporeto.podMetadata: labels and annotations of a pod template. podLabels, podAnnotations and checksums (a map) are
optional; certificates is true when the pod reads certificates, and so must restart when they are reissued. What the
chart sets wins over what the user adds.
*/ -}}
{{- define "aporeto.podMetadata" -}}
labels:
  {{- toYaml (mergeOverwrite (dict) (deepCopy (get . "podLabels" | default dict)) (fromYaml (include "aporeto.podLabels" .))) | nindent 2 }}
annotations:
  {{- $own := dict "aporeto.io/environment" (toString .root.Values.global.environment) }}
  {{- if .certificates }}
  {{- $_ := set $own "aporeto.io/certificates-generation" (include "aporeto.scalar" .root.Values.global.certificates.generation) }}
  {{- end }}
  {{- toYaml (mergeOverwrite (dict) (deepCopy (get . "podAnnotations" | default dict)) (get . "checksums" | default dict) $own) | nindent 2 }}
{{- end -}}

{{- /*
aporeto.image: an image reference from "repository:tag" or {repository, tag, digest}.
root, image; tag (optional) stands in when the map has neither tag nor digest.
global.imageRegistry comes before a repository that names no registry itself, by the rule of
image references: the first part is a registry when it has a dot or a colon or is localhost.
*/ -}}
{{- define "aporeto.image" -}}
{{- $reference := .image -}}
{{- if kindIs "map" .image -}}
{{- $reference = .image.repository -}}
{{- $tag := get .image "tag" | default (get . "tag") -}}
{{- if $tag -}}
{{- $reference = printf "%s:%s" $reference $tag -}}
{{- end -}}
{{- if get .image "digest" -}}
{{- $reference = printf "%s@%s" .image.repository .image.digest -}}
{{- end -}}
{{- end -}}
{{- $parts := splitList "/" $reference -}}
{{- $named := and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- if and .root.Values.global.imageRegistry (not $named) -}}
{{- $reference = printf "%s/%s" (trimSuffix "/" .root.Values.global.imageRegistry) $reference -}}
{{- end -}}
{{- $reference -}}
{{- end -}}

{{- /*
aporeto.image.problem: a line when what aporeto.image makes of its arguments is no image reference: the kubelet would say
InvalidImageName, and never try again. path names the value. The grammar is that of github.com/distribution/reference.
*/ -}}
{{- define "aporeto.image.problem" -}}
{{- $reference := include "aporeto.image" . -}}
{{- $host := `([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(:[0-9]+)?/` -}}
{{- $component := `[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*` -}}
{{- $tag := `:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}` -}}
{{- $digest := `@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}` -}}
{{- if not (regexMatch (printf "^(%s)?%s(/%s)*(%s)?(%s)?$" $host $component $component $tag $digest) $reference) }}
{{ .path }}: {{ $reference | quote }} is not the name of an image; it is [REGISTRY/]REPOSITORY[:TAG][@DIGEST], the repository in lower case
{{- end -}}
{{- end -}}

{{- define "aporeto.agentImage" -}}
{{- include "aporeto.image" (dict "root" . "image" .Values.global.agent.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- /* aporeto.imagePullSecrets: names, or objects with a name. */ -}}
{{- define "aporeto.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- /* aporeto.scalar: a string, number or boolean as text; 1000000 stays 1000000 and not 1e+06. */ -}}
{{- define "aporeto.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ printf "%.0f" . }}{{- else -}}{{ toString . }}{{- end -}}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{- /* aporeto.mongoURI: root, database ("" for the agent, which names its own). */ -}}
{{- define "aporeto.mongoURI" -}}
{{- printf "mongodb://%s/%s?authMechanism=MONGODB-X509&authSource=%%24external&tls=true" .root.Values.global.database.mongo.host .database -}}
{{- end -}}

{{- /* aporeto.missing: a line for each of the facts without which no chart can be installed. */ -}}
{{- define "aporeto.missing" -}}
{{- if not .Values.global.environment }}
global.environment is required: the environment's id (kubectl aporeto sets it by itself)
{{- end }}
{{- if not .Values.global.zone }}
global.zone is required: the zone's name (kubectl aporeto sets it by itself)
{{- end }}
{{- if not .Values.global.database.mongo.host }}
global.database.mongo.host is required: the MongoDB routers, as host:port,host:port
{{- end }}
{{- include "aporeto.image.problem" (dict "root" . "path" "global.agent.image" "image" .Values.global.agent.image "tag" .Chart.AppVersion) }}
{{- end -}}

{{- /* aporeto.refuse: stops the render when its argument has any lines, and shows all of them. */ -}}
{{- define "aporeto.refuse" -}}
{{- with trim . }}{{ fail . }}{{ end -}}
{{- end -}}

{{- /*
aporeto.podSecurityContext, aporeto.securityContext: the "restricted" Pod Security Standard. fsGroup lets
the process read Secrets that nobody else can. Given are the user's overrides.
*/ -}}
{{- define "aporeto.podSecurityContext" -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $own (deepCopy (. | default dict))) -}}
{{- end -}}

{{- define "aporeto.securityContext" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $own (deepCopy (. | default dict))) -}}
{{- end -}}

{{- /* aporeto.egress: the egress rules of a NetworkPolicy. root, cidrs, peers (a list, the release's own pods). */ -}}
{{- define "aporeto.egress" -}}
# Names must resolve. 5353 is where some clusters' DNS pods really listen, which a policy sees after translation.
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    - {port: 5353, protocol: UDP}
    - {port: 5353, protocol: TCP}
{{- with get . "peers" }}
- to:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with .cidrs }}
- to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
{{- end }}
{{- end -}}

{{- /* aporeto.extraObjects: objects, or strings with templates in them, of the user's own. */ -}}
{{- define "aporeto.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (kindIs "string" . | ternary . (toYaml .)) $ }}
{{- end }}
{{- end -}}
