# shellcheck shell=bash
# The network: a bridge in a namespace of its own joins the host's leg, the database's, the DNS server's and the zones'
# namespaces. None of them has a route to anything else, and a fence in every zone drops what would leave all the same.

network_exists() { [ -e "/sys/class/net/$HOST_LEG" ]; }

# network_owner : the state directory of the sandbox whose network this is.
network_owner() { cat "/sys/class/net/$HOST_LEG/ifalias"; }

# network_check_owner : refuses when somebody else's sandbox, or somebody else's network, is in the way.
network_check_owner() {
  if network_exists; then
    local owner
    owner=$(network_owner)
    [ "$owner" = "$STATE" ] || fail "the sandbox of $owner is in the way" "XDG_CACHE_HOME=$(dirname "$(dirname "$owner")") hack/sandbox down"
  fi
}

network_check_addresses() {
  network_exists && return
  local route
  route=$(ip -4 route show table all | awk -v net="$WAN_NET." 'index($1, net) == 1 || index($2, net) == 1')
  [ -z "$route" ] || fail "this machine already uses the sandbox's addresses ($WAN_NET.0/24): $route" "take that network down first"
}

add_namespace() {
  [ -e "/run/netns/$1" ] && return
  ip netns add "$1"
  ip -n "$1" link set lo up
}

# add_leg NAMESPACE NAME ADDRESS : links a namespace to the bridge, where its end is called NAME.
add_leg() {
  ip -n "$1" link show eth0 > /dev/null 2>&1 && return
  ip link add name "$2" netns "$WAN" type veth peer name eth0 netns "$1"
  ip -n "$WAN" link set "$2" master br0 up
  ip -n "$1" link set eth0 addrgenmode none
  ip -n "$1" addr add "$3/24" dev eth0
  ip -n "$1" link set eth0 up
}

network_up() {
  network_check_addresses
  # `ip netns add` makes a shared mount of /run/netns when it is the first to be called; remember to undo that.
  mountpoint -q /run/netns || : > "$STATE/mounted-run-netns"
  [ -d /run/netns ] || : > "$STATE/made-run-netns"
  add_namespace "$WAN"
  if ! network_exists; then
    ip link add name host netns "$WAN" type veth peer name "$HOST_LEG"
    ip link set "$HOST_LEG" alias "$STATE"
  fi
  if ! ip -n "$WAN" link show br0 > /dev/null 2>&1; then
    ip -n "$WAN" link add br0 type bridge forward_delay 0
    ip -n "$WAN" link set br0 addrgenmode none
    ip -n "$WAN" link set br0 up
    # Where br_netfilter is loaded, bridged packets would go through iptables.
    # shellcheck disable=SC2016 # the inner shell expands it
    nsenter --net="/run/netns/$WAN" sh -c 'for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$f" ] || echo 0 > "$f"; done'
  fi
  ip -n "$WAN" link set host master br0 up
  ip link set "$HOST_LEG" addrgenmode none
  ip addr replace "$HOST_IP/24" dev "$HOST_LEG"
  ip link set "$HOST_LEG" up
  add_namespace "$DB_NS"
  add_leg "$DB_NS" db "$DB_IP"
  add_namespace "$DNS_NS"
  add_leg "$DNS_NS" dns "$DNS_IP"
  local zone
  for zone in "${ZONES[@]}"; do
    select_zone "$zone"
    zone_network_up
  done
}

zone_network_up() {
  add_namespace "$ZONE_NS"
  add_leg "$ZONE_NS" "$ZONE" "$ZONE_IP"
  # A packet made here for a Service's address needs some route before kube-proxy's rules rewrite it. Not every kernel has
  # dummy links; a bridge without ports does.
  if ! ip -n "$ZONE_NS" link show services > /dev/null 2>&1; then
    ip -n "$ZONE_NS" link add services type bridge
    ip -n "$ZONE_NS" link set services addrgenmode none
    ip -n "$ZONE_NS" link set services up
  fi
  ip -n "$ZONE_NS" route replace "$SERVICE_CIDR" dev services src "$ZONE_IP"
  nsenter --net="/run/netns/$ZONE_NS" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
  # Two tables: pods leave the node under its address (nobody outside knows theirs); and the fence, the last hook of all.
  nsenter --net="/run/netns/$ZONE_NS" nft -f - <<NFT
table ip pods
delete table ip pods
table ip pods {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "eth0" ip saddr $POD_CIDR masquerade
  }
}
table inet fence
delete table inet fence
table inet fence {
  chain postrouting {
    type filter hook postrouting priority 300; policy drop;
    oifname "lo" accept
    ip daddr { $WAN_NET.0/24, $POD_CIDR, $SERVICE_CIDR, 127.0.0.0/8 } accept
    counter drop
  }
}
NFT
}

network_down() {
  local zone
  ip link del "$HOST_LEG" 2> /dev/null || true
  for zone in "${ZONES[@]}" db dns wan; do
    [ ! -e "/run/netns/$PREFIX-$zone" ] || ip netns del "$PREFIX-$zone"
  done
  if [ -e "$STATE/mounted-run-netns" ] && [ -z "$(ls -A /run/netns)" ]; then
    umount --no-mtab /run/netns
    [ ! -e "$STATE/made-run-netns" ] || rmdir /run/netns
  fi
}
