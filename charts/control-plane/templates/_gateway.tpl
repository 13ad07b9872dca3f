{{- /*
gateway.routes: the routes of every enabled service, as the agent reads them (routes.json). A service's port is
given by name or by number; without one, it is the service's first. Two services never share a host and path:
which of them would answer must not depend on their names' order. A held service is marked: nobody listens there in a passive zone.
*/ -}}
{{- define "gateway.routes" -}}
{{- $routes := list -}}
{{- $owners := dict -}}
{{- range $name, $service := .Values.services -}}
{{- if eq (include "service.enabled" $service) "true" -}}
{{- range $index, $route := dig "routes" list $service -}}
{{- $where := printf "services.%s.routes[%d]" $name $index -}}
{{- $host := tpl (dig "host" "" $route) $ | lower -}}
{{- if not (regexMatch "^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $host) -}}
{{- fail (printf "%s.host: %q is not a host name (no scheme, no port)" $where $host) -}}
{{- end -}}
{{- $path := dig "path" "/" $route -}}
{{- $port := include "service.port" (dict "name" $name "service" $service "port" (dig "port" "" $route) "where" $where) -}}
{{- $key := printf "%s%s" $host (trimSuffix "/" $path) -}}
{{- if hasKey $owners $key -}}
{{- fail (printf "%s: host %q and path %q are already routed by service %q" $where $host $path (get $owners $key)) -}}
{{- end -}}
{{- $_ := set $owners $key $name -}}
{{- $upstream := printf "%s://%s.%s.svc:%s" (dig "scheme" "http" $route) $name $.Release.Namespace $port -}}
{{- $entry := dict "host" $host "path" $path "upstream" $upstream -}}
{{- if dig "activeOnly" false $service -}}
{{- $_ := set $entry "held" true -}}
{{- end -}}
{{- $routes = append $routes $entry -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson (dict "routes" $routes) -}}
{{- end -}}

{{- /* gateway.https: "true" when a route's upstream is https, and the gateway so needs the CA that verifies it. */ -}}
{{- define "gateway.https" -}}
{{- $https := false -}}
{{- range $name, $service := .Values.services -}}
{{- if eq (include "service.enabled" $service) "true" -}}
{{- range dig "routes" list $service -}}
{{- if eq (dig "scheme" "http" .) "https" -}}{{- $https = true -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $https -}}
{{- end -}}
