# shellcheck shell=bash
# The DNS server of the global record, outside all zones: sandbox.test, every answer with a TTL of one second.

dns_up() {
  local dir=$STATE/dns
  mkdir -p "$dir"
  [ -e "$dir/zone" ] || dns_write none
  cat > "$dir/resolv.conf" <<TEXT
nameserver $DNS_IP
options timeout:1 attempts:2
TEXT
  echo 'hosts: files dns' > "$dir/nsswitch.conf"
  cat > "$dir/Corefile" <<TEXT
$DOMAIN:53 {
    bind $DNS_IP
    errors
    file "$dir/zone" $DOMAIN {
        reload 100ms
    }
}
.:53 {
    bind $DNS_IP
    template ANY ANY . {
        rcode REFUSED
    }
}
TEXT
  if ! running "$dir/pid" > /dev/null; then
    spawn "$dir/pid" "$dir/log" nsenter --net="/run/netns/$DNS_NS" env -i "$COREDNS" -conf "$dir/Corefile"
  fi
  wait_until 20 dns_answers "a.$DOMAIN" "$WAN_NET.11" || { tail -n 5 "$dir/log" >&2; fail "the DNS server does not answer" "its log is $dir/log"; }
}

# dns_write ADDRESS|none : the zone file with the global record at ADDRESS, or without one (NXDOMAIN). It takes the old one's
# place at once; the server reads it when its serial number is a new one.
dns_write() {
  local file=$STATE/dns/zone serial=0
  [ ! -e "$file" ] || serial=$(awk '$2 == "SOA" { print $5 }' "$file")
  {
    echo "\$TTL 1"
    echo "@ SOA ns.$DOMAIN. nobody.$DOMAIN. $((serial + 1)) 1 1 60 1"
    echo "@ NS ns.$DOMAIN."
    echo "ns A $DNS_IP"
    echo "a A $WAN_NET.11"
    echo "b A $WAN_NET.12"
    [ "$1" = none ] || echo "api A $1"
  } > "$file.new"
  mv "$file.new" "$file"
}

# with_names CMD… : runs CMD so that the sandbox's names, and only they, resolve: in a mount namespace of its own, where
# /etc/resolv.conf is the sandbox's. (--no-mtab: else mount makes a /run/mount that stays.)
with_names() {
  # shellcheck disable=SC2016 # the inner shell expands these
  unshare --mount --propagation private bash -c '
    mount --no-mtab --bind "$0/resolv.conf" /etc/resolv.conf || exit 125
    [ ! -e /etc/nsswitch.conf ] || mount --no-mtab --bind "$0/nsswitch.conf" /etc/nsswitch.conf || exit 125
    exec "$@"' "$STATE/dns" "$@"
}

# dns_lookup NAME : prints its addresses; nothing when there are none.
dns_lookup() { with_names getent ahostsv4 "$1" | awk '$2 == "STREAM" { print $1 }'; }

# dns_answers NAME ADDRESS : ADDRESS may be empty, for a name that must not exist.
dns_answers() { [ "$(dns_lookup "$1")" = "$2" ]; }

# dns_record ZONE|none : moves the global record and returns when the server answers so.
dns_record() {
  require_up
  take_lock
  local address='' target=none
  if [ "$1" != none ]; then
    select_zone "$1"
    address=$ZONE_IP target=$ZONE
  fi
  running "$STATE/dns/pid" > /dev/null || fail "the DNS server does not run" "hack/sandbox up"
  dns_write "${address:-none}"
  wait_until 10 dns_answers "api.$DOMAIN" "$address" || fail "the DNS server still answers \"$(dns_lookup "api.$DOMAIN")\"" "its log is $STATE/dns/log"
  # An empty answer is also what a dead server gives.
  dns_answers "a.$DOMAIN" "$WAN_NET.11" || fail "the DNS server does not answer" "its log is $STATE/dns/log"
  echo "api.$DOMAIN -> ${address:-nobody}${address:+ ($target)}"
}
