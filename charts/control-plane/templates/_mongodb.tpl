{{- /*
mongodb.components: what an in-cluster MongoDB is made of: {components: [{key, name, set, role, values}]}. key is how the values and
the member certificate's Secret call it, name that of its objects, set its replica set ("" for the routers), role its flag.
*/ -}}
{{- define "mongodb.components" -}}
{{- $shard := index .Values "mongodb-shard" -}}
{{- $components := list (dict "key" "config" "name" "mongodb-shard-config" "set" "config" "role" "--configsvr" "values" $shard.config) -}}
{{- range $name := list "data" "reports" -}}
{{- $components = append $components (dict "key" $name "name" (printf "mongodb-shard-%s" $name) "set" $name "role" "--shardsvr" "values" (get $shard.shards $name)) -}}
{{- end -}}
{{- $components = append $components (dict "key" "router" "name" "mongodb-shard-router" "set" "" "role" "" "values" $shard.routers) -}}
{{- toYaml (dict "components" $components) -}}
{{- end -}}

{{- /* mongodb.members: the addresses of a component's pods, joined by commas. root, name, replicas. Members know each other by them. */ -}}
{{- define "mongodb.members" -}}
{{- $members := list -}}
{{- range $i := until (int .replicas) -}}
{{- $members = append $members (printf "%s-%d.%s.%s.svc:27017" $.name $i $.name $.root.Release.Namespace) -}}
{{- end -}}
{{- join "," $members -}}
{{- end -}}

{{- /*
mongodb.args: the command line of a mongod or mongos. root, component. 4.0 says ssl where later versions say tls. The one certificate
serves clients and identifies a member (clusterAuthMode x509): there is no key file. Without enableLocalhostAuthBypass=false a router
would let anybody on its own host make a root user, as long as every user is in $external. What servers write besides their data
(sockets, diagnostics) has no place in a read-only root.
*/ -}}
{{- define "mongodb.args" -}}
{{- $shard := index .root.Values "mongodb-shard" -}}
{{- $component := .component -}}
{{- if $component.set }}
- {{ $component.role }}
- --replSet={{ $component.set }}
- --dbpath=/data/db
- --auth
- --wiredTigerCacheSizeGB={{ include "aporeto.scalar" $component.values.cacheSizeGB }}
{{- else }}
- --configdb=config/{{ include "mongodb.members" (dict "root" .root "name" "mongodb-shard-config" "replicas" $shard.config.replicas) }}
{{- end }}
- --port=27017
- --bind_ip_all
- --nounixsocket
- --clusterAuthMode=x509
- --setParameter=enableLocalhostAuthBypass=false
{{- if eq (include "aporeto.scalar" $shard.version) "4.0" }}
- --sslMode=requireSSL
- --sslPEMKeyFile=/etc/aporeto/member/full.pem
- --sslCAFile=/etc/aporeto/member/ca.crt
{{- else }}
- --tlsMode=requireTLS
- --tlsCertificateKeyFile=/etc/aporeto/member/full.pem
- --tlsCAFile=/etc/aporeto/member/ca.crt
{{- end }}
{{- end -}}
