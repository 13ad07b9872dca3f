# shellcheck shell=bash
# Where everything is: paths, names and addresses. No other file has one of its own.
# shellcheck disable=SC2034 # the other files use these

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-aporeto
BIN=$CACHE/bin         # built once, kept: kube-HASH, coredns-HASH, kubectl
IMAGES=$CACHE/images   # docker-save archives, kept
STATE=$CACHE/sandbox   # everything of the running sandbox; `down` removes it

PREFIX=aporeto-sandbox # of network namespaces and cgroups
WAN=$PREFIX-wan        # network namespace of the bridge that joins all others
HOST_LEG=aposb0        # the host's link into it; its alias holds $STATE, so that a second sandbox is noticed
WAN_NET=10.90.0
HOST_IP=$WAN_NET.1
DB_NS=$PREFIX-db
DB_IP=$WAN_NET.50
DNS_NS=$PREFIX-dns
DNS_IP=$WAN_NET.53
DOMAIN=sandbox.test
ZONES=(zone-a zone-b)

AGENT_IMAGE=registry.local/aporeto-agent:dev
LEDGER_IMAGE=registry.local/ledger:dev
COREDNS_IMAGE=registry.local/coredns:sandbox
PAUSE_IMAGE=registry.local/pause:sandbox

# select_zone NAME : sets ZONE and everything that follows from it.
select_zone() {
  local n
  case $1 in
    zone-a | a) ZONE=zone-a n=1 ;;
    zone-b | b) ZONE=zone-b n=2 ;;
    *) usage_error "unknown zone \"$1\"; the zones are ${ZONES[*]}" ;;
  esac
  ZONE_NS=$PREFIX-$ZONE
  ZONE_CGROUP=$PREFIX-$ZONE
  ZONE_DIR=$STATE/$ZONE
  ZONE_IP=$WAN_NET.1$n              # of the node and the API server
  NODE=$ZONE-node
  POD_CIDR=10.$((100 + n)).0.0/16   # both known inside the zone only
  SERVICE_CIDR=10.$((200 + n)).0.0/16
  API_SERVICE_IP=10.$((200 + n)).0.1
  CLUSTER_DNS_IP=10.$((200 + n)).0.10
}
