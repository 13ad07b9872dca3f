# shellcheck shell=bash
# One zone: a whole cluster in a network, a mount and a PID namespace of its own. zone-init is its PID 1; when that dies,
# the kernel ends every process of the zone, pods too, and its mounts go with the mount namespace.
# Every function works on the zone that select_zone selected.

zone_running() { running "$ZONE_DIR/pid" > /dev/null; }

# Both end with the shell that waits for them: an interrupted `up` leaves no process waiting.
zone_kubectl() { setpriv --pdeathsig KILL "$KUBE" kubectl --kubeconfig "$ZONE_DIR/pki/admin.kubeconfig" "$@"; }

zone_ready() { setpriv --pdeathsig KILL "$KUBE" ready --kubeconfig "$ZONE_DIR/pki/admin.kubeconfig" "$@"; }

# zone_start : a zone that runs is left alone; one that does not is made anew (its etcd never syncs to the disk, so what a
# dead one left is worth nothing).
zone_start() {
  if zone_running; then return; fi
  rm -rf --one-file-system "$ZONE_DIR"
  zone_cgroups_remove
  mkdir -p "$ZONE_DIR"
  "$KUBE" pki --dir "$ZONE_DIR/pki" --server "https://$ZONE_IP:6443" --cluster "$ZONE" --node "$NODE" \
    --ip "127.0.0.1,$ZONE_IP,$API_SERVICE_IP" --dns "$NODE"
  zone_configure
  # A clean environment: a proxy variable or a GOFLAGS of the caller has no business in there.
  spawn "$ZONE_DIR/pid" "$ZONE_DIR/init.log" nsenter --net="/run/netns/$ZONE_NS" \
    unshare --mount --pid --fork --kill-child=KILL --mount-proc --propagation private \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    ZONE="$ZONE" ZONE_DIR="$ZONE_DIR" BIN="$BIN" KUBE_NAME="${KUBE##*/}" IMAGES_DIR="$STATE/images" CGROUP="$ZONE_CGROUP" \
    NODE="$NODE" ZONE_IP="$ZONE_IP" SERVICE_CIDR="$SERVICE_CIDR" \
    "$PARTS/zone-init"
}

# zone_configure : the files that zone-init's programs read. Inside, the zone's directory is /run/zone.
zone_configure() {
  mkdir -p "$ZONE_DIR/cni"
  : > "$ZONE_DIR/resolv.conf" # the node resolves nothing
  cat > "$ZONE_DIR/containerd.toml" <<TEXT
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.native", "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  disable_apparmor = true
  # Where root lacks CAP_SYS_RESOURCE, runc would die on a negative oom_score_adj.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/zone/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TEXT
  cat > "$ZONE_DIR/cni/10-pods.conflist" <<TEXT
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false, "mtu": 1500,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
TEXT
  # imageGCHighThresholdPercent 100: there is no registry to pull a collected image from. Eviction thresholds near nothing:
  # this machine's disk is not the cluster's business.
  cat > "$ZONE_DIR/kubelet.yaml" <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$ZONE_CGROUP
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDomain: cluster.local
clusterDNS: [$CLUSTER_DNS_IP]
resolvConf: /run/zone/resolv.conf
volumePluginDir: /run/volume-plugins
address: 0.0.0.0
tlsCertFile: /run/zone/pki/kubelet-server.crt
tlsPrivateKeyFile: /run/zone/pki/kubelet-server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: /run/zone/pki/ca.crt}}
authorization: {mode: Webhook}
evictionHard: {memory.available: 50Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
enforceNodeAllocatable: [pods]
nodeStatusUpdateFrequency: 4s
volumeStatsAggPeriod: -1s
enableProfilingHandler: false
TEXT
  cat > "$ZONE_DIR/kube-proxy.yaml" <<TEXT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: /run/zone/pki/kube-proxy.kubeconfig}
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
TEXT
}

# zone_wait : until the node is Ready and the cluster's DNS serves.
zone_wait() {
  local began=$EPOCHREALTIME
  zone_ready --timeout 2m 2>> "$ZONE_DIR/init.log" || zone_explain "its API server does not answer"
  sed "s/@CLUSTER_DNS_IP@/$CLUSTER_DNS_IP/; s|@COREDNS_IMAGE@|$COREDNS_IMAGE|; s/@DOMAIN@/$DOMAIN/; s/@DNS_IP@/$DNS_IP/" "$PARTS/manifests/coredns.yaml" |
    zone_kubectl apply -f - > /dev/null || zone_explain "the cluster's DNS cannot be applied"
  zone_ready --node "$NODE" --timeout 2m 2>> "$ZONE_DIR/init.log" || zone_explain "its node is not Ready"
  zone_kubectl -n kube-system rollout status deployment/coredns --timeout 2m > /dev/null || zone_explain "the cluster's DNS does not start"
  say "$ZONE: node Ready, DNS serving ($(seconds_since "$began") s)"
}

# zone_explain REASON : shows the end of what the zone wrote last, and fails.
zone_explain() {
  {
    tail -n 5 "$ZONE_DIR/init.log"
    [ ! -e "$ZONE_DIR/log/restarts.log" ] || tail -n 5 "$ZONE_DIR/log/restarts.log"
  } >&2
  fail "$ZONE: $1" "its logs are in $ZONE_DIR/log; hack/sandbox down, then up, starts afresh"
}

# zone_inside CMD… : runs CMD as the zone's own processes see the world, but on its network.
zone_inside() {
  local outer inner
  outer=$(running "$ZONE_DIR/pid") || fail "$ZONE does not run" "hack/sandbox up"
  read -r inner _ <<< "$(cat "/proc/$outer/task/$outer/children")"
  [ -n "$inner" ] || fail "$ZONE has no first process" "hack/sandbox down, then up"
  nsenter --target "$inner" --mount --pid "$@"
}

zone_ctr() { zone_inside ctr -a /run/containerd/containerd.sock -n k8s.io "$@"; }

# zone_load ARCHIVE : imports a docker-save archive into the zone's containerd.
zone_load() { zone_ctr images import - < "$1" > /dev/null || fail "$ZONE: cannot import ${1##*/}"; }

# zone_signal PROGRAM SIGNAL : of the cluster's own programs. Their records hold what the zone's own PID namespace calls them.
zone_signal() {
  # shellcheck disable=SC2016 # the inner shell expands these
  zone_inside bash -c '. "$0"; pid=$(running "/run/zone/$1.pid") && kill "-$2" "$pid"' "$PARTS/lib/process.sh" "$1" "$2" ||
    fail "$ZONE: $1 does not run" "hack/sandbox status"
}

# zone_tasks CONTAINER POD COMMAND… : has containerd do COMMAND to all running containers of that name, or one pod's where POD is not empty,
# without a word to Kubernetes.
zone_tasks() {
  local containers one reached=0 filter="labels.\"io.kubernetes.container.name\"==$1"
  [ -z "$2" ] || filter+=",labels.\"io.kubernetes.pod.name\"==$2"
  containers=$(zone_ctr containers ls -q "$filter") || fail "$ZONE: its containers cannot be listed"
  for one in $containers; do
    # A container that ended is there until Kubernetes removes it.
    if zone_ctr tasks "${@:3}" "$one" > /dev/null 2>&1; then reached=$((reached + 1)); fi
  done
  [ "$reached" -gt 0 ] || fail "$ZONE: no container \"$1\" to $3" "kubectl --context $ZONE get pods -A"
  echo "$ZONE: $3 $reached of \"$1\""
}

# An outage: the bridge's end of the zone's link goes down, so that the zone keeps its own routes and does not notice.
zone_cut() {
  require_up
  ip -n "$WAN" link set "$ZONE" down
  echo "$ZONE is cut off"
}

# zone_cut_from database|dns : nothing goes between the zone and that one, in either direction, without a word to either.
zone_cut_from() {
  local address
  require_up
  case $1 in
    database) address=$DB_IP ;;
    dns) address=$DNS_IP ;;
    *) usage_error "a zone is cut off from database or dns, not from \"$1\"" ;;
  esac
  # Outwards after pods' addresses were rewritten, inwards before: both see the other's own address.
  nsenter --net="/run/netns/$ZONE_NS" nft -f - <<NFT
table ip cut {
  set cut_off {
    type ipv4_addr
    elements = { $address }
  }
  chain inwards {
    type filter hook prerouting priority -300;
    ip saddr @cut_off drop
  }
  chain outwards {
    type filter hook postrouting priority 299;
    ip daddr @cut_off drop
  }
}
NFT
  echo "$ZONE is cut off from the $1"
}

# zone_heal : from every kind of cut.
zone_heal() {
  require_up
  ip -n "$WAN" link set "$ZONE" up
  nsenter --net="/run/netns/$ZONE_NS" nft -f - <<NFT
table ip cut
delete table ip cut
NFT
  echo "$ZONE is back on the network"
}

zone_is_cut_from() { nsenter --net="/run/netns/$ZONE_NS" nft get element ip cut cut_off "{ $1 }" > /dev/null 2>&1; }

zone_is_cut() { ! ip -n "$WAN" link show dev "$ZONE" up | grep -q .; }

zone_down() {
  stop "$ZONE_DIR/pid" KILL
  wait_until 20 zone_cgroups_empty || fail "$ZONE: processes $(zone_cgroup_processes | tr '\n' ' ')do not end"
  zone_cgroups_remove
  rm -rf --one-file-system "$ZONE_DIR"
}

# zone_cgroups : the zone's directory in every hierarchy (version 1 has many, version 2 has one).
zone_cgroups() {
  local dir
  for dir in "/sys/fs/cgroup/$ZONE_CGROUP" /sys/fs/cgroup/*/"$ZONE_CGROUP"; do
    [ ! -d "$dir" ] || echo "$dir"
  done
}

zone_cgroup_processes() {
  local dir
  zone_cgroups | while read -r dir; do find "$dir" -name cgroup.procs -exec cat {} + 2> /dev/null; done | sort -un
}

zone_cgroups_empty() { [ -z "$(zone_cgroup_processes)" ]; }

zone_cgroups_remove() {
  local dir
  for dir in $(zone_cgroups); do
    find "$dir" -depth -type d -exec rmdir {} +
  done
}
