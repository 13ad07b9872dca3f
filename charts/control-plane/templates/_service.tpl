{{- /* service.enabled: "true" unless enabled is false. */ -}}
{{- define "service.enabled" -}}
{{- dig "enabled" true . -}}
{{- end -}}

{{- /* service.mongo: "true" when the service has a MongoDB user, which is so unless mongo.enabled is false. */ -}}
{{- define "service.mongo" -}}
{{- dig "mongo" "enabled" true . -}}
{{- end -}}

{{- /* service.ports: the ports with every field filled in: {ports: [{name, port, containerPort, protocol}]}. */ -}}
{{- define "service.ports" -}}
{{- $ports := list -}}
{{- range dig "ports" list . -}}
{{- $number := int .containerPort -}}
{{- $port := dict "containerPort" $number "port" (int (dig "port" $number .)) "protocol" (dig "protocol" "TCP" .) -}}
{{- $ports = append $ports (set $port "name" (dig "name" (printf "port-%d" $number) .)) -}}
{{- end -}}
{{- toYaml (dict "ports" $ports) -}}
{{- end -}}

{{- /* service.port: the Service's port number that a route means. name, service, port (a name, a number or ""), where. */ -}}
{{- define "service.port" -}}
{{- $ports := (fromYaml (include "service.ports" .service)).ports -}}
{{- if not $ports -}}
{{- fail (printf "%s: service %q has no ports to route to" .where .name) -}}
{{- end -}}
{{- $wanted := include "aporeto.scalar" .port -}}
{{- $found := "" -}}
{{- range $ports -}}
{{- if and (not $found) (or (eq $wanted "") (eq $wanted .name) (eq $wanted (int .port | toString))) -}}
{{- $found = int .port | toString -}}
{{- end -}}
{{- end -}}
{{- required (printf "%s.port: service %q has no port %q" .where .name $wanted) $found -}}
{{- end -}}

{{- /*
service.probes: the probes of a held service, as aporeto-agent hold reads them: JSON, with every port as a number. service, ports, where.
*/ -}}
{{- define "service.probes" -}}
{{- $probes := dict -}}
{{- range $kind, $given := dig "probes" dict .service -}}
{{- $probe := deepCopy $given -}}
{{- range $handler := list "httpGet" "tcpSocket" -}}
{{- with get $probe $handler -}}
{{- $wanted := include "aporeto.scalar" .port -}}
{{- $number := ternary $wanted "" (regexMatch "^[0-9]+$" $wanted) -}}
{{- range $.ports -}}
{{- if eq .name $wanted -}}{{- $number = int .containerPort | toString -}}{{- end -}}
{{- end -}}
{{- $_ := set . "port" (required (printf "%s.probes.%s: the service has no port %q" $.where $kind $wanted) $number | int) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $probes $kind $probe -}}
{{- end -}}
{{- toJson $probes -}}
{{- end -}}

{{- /* service.heldProbe: when the kubelet asks the holder: as the user says, who else is asked is the holder's business. kind, probe. */ -}}
{{- define "service.heldProbe" -}}
{{- toYaml (mergeOverwrite (dict) (omit (deepCopy .probe) "httpGet" "tcpSocket" "exec" "initialDelaySeconds") (dict "httpGet" (dict "path" (printf "/%s" .kind) "port" 9091))) -}}
{{- end -}}

{{- /* service.fileKey: a ConfigMap key for a file's path; keys have no slashes, and two paths never share one. */ -}}
{{- define "service.fileKey" -}}
{{- printf "%s-%s" (sha256sum . | trunc 8) (regexReplaceAll "[^-._a-zA-Z0-9]" (base .) "_") -}}
{{- end -}}

{{- /*
service.hold: the arguments of aporeto-agent before a held service's own command. root, service, probes (JSON). A dollar sign in the
probes is doubled: Kubernetes expands $(NAME) in arguments.
*/ -}}
{{- define "service.hold" -}}
- hold
- {{ printf "--environment=%s" .root.Values.global.environment | quote }}
- {{ printf "--zone=%s" .root.Values.global.zone | quote }}
- {{ printf "--gateway=http://aporeto-gateway-status.%s.svc:9090" .root.Release.Namespace | quote }}
- --grace={{ dig "hold" "grace" "2s" .service }}
- --probe-listen=:9091
- --probe-host=$(APORETO_POD_IP)
{{- if ne .probes "{}" }}
- {{ printf "--probes=%s" (.probes | replace "$" "$$") | quote }}
{{- end }}
- "--"
{{- end -}}

{{- /*
service.env: the environment of a service's container. root, name, service. What the contract gives comes first, so
that the service's own variables, sorted by name, can use it as $(MONGODB_URI); a variable of the same name replaces it.
*/ -}}
{{- define "service.env" -}}
{{- $root := .root -}}
{{- $own := dig "env" dict .service -}}
{{- $contract := list (list "APORETO_ENVIRONMENT" .root.Values.global.environment) (list "APORETO_ZONE" .root.Values.global.zone) -}}
{{- if eq (include "service.mongo" .service) "true" -}}
{{- $uri := include "aporeto.mongoURI" (dict "root" .root "database" (dig "mongo" "database" .name .service)) -}}
{{- $contract = concat $contract (list
      (list "MONGODB_URI" $uri)
      (list "MONGODB_CA_FILE" "/etc/aporeto/mongodb/ca.crt")
      (list "MONGODB_CERT_FILE" "/etc/aporeto/mongodb/tls.crt")
      (list "MONGODB_KEY_FILE" "/etc/aporeto/mongodb/tls.key")
      (list "MONGODB_CERT_KEY_FILE" "/etc/aporeto/mongodb/full.pem")) -}}
{{- end -}}
{{- if dig "activeOnly" false .service }}
- name: APORETO_POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- range $contract }}
{{- if not (hasKey $own (first .)) }}
- name: {{ first . }}
  value: {{ last . | toString | quote }}
{{- end }}
{{- end }}
{{- range $key, $value := $own }}
- name: {{ $key | quote }}
  {{- if kindIs "map" $value }}
  valueFrom:
    {{- toYaml $value.valueFrom | nindent 4 }}
  {{- else }}
  value: {{ tpl (include "aporeto.scalar" $value) $root | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* spread.constraints: pods apart over nodes, then over the cluster's failure zones, where there are any. root, name. */ -}}
{{- define "spread.constraints" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "aporeto.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{- /*
pod.scheduling: where a pod may run. root, name, values (of the gateway or a service). topologySpreadConstraints,
when given, replaces the default, and an empty list turns it off.
*/ -}}
{{- define "pod.scheduling" -}}
{{- with get .values "nodeSelector" }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get .values "tolerations" }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get .values "affinity" }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get .values "priorityClassName" }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- if not (hasKey .values "topologySpreadConstraints") }}
topologySpreadConstraints:
  {{- include "spread.constraints" . | trim | nindent 2 }}
{{- else if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* release.selector: the pods of this release, gateway and services. */ -}}
{{- define "release.selector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: aporeto
{{- end -}}
