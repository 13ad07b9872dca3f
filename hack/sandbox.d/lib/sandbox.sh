# shellcheck shell=bash
# The whole: up, down, status, and what works on all zones.

sandbox_up() {
  local began=$EPOCHREALTIME zone jobs=() failed=0
  build_all
  take_lock
  network_check_owner
  mkdir -p "$STATE"
  # Background jobs do not see a Ctrl-C; without the kill they would wait on for their zones.
  trap 'kill "${jobs[@]}" 2> /dev/null; say "up did not finish; run it again to go on, or hack/sandbox down"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  images_build
  network_up
  dns_up
  for zone in "${ZONES[@]}"; do
    (
      trap - EXIT INT TERM
      exec 9>&- # what this job starts may outlive the command, and must not keep its lock
      select_zone "$zone"
      zone_start
      zone_wait
      zone_load "$STATE/images/aporeto-agent.tar"
      zone_load "$STATE/images/ledger.tar"
    ) &
    jobs+=($!)
  done
  # One zone's failure does not end the other's start.
  for zone in "${jobs[@]}"; do wait "$zone" || failed=1; done
  [ "$failed" = 0 ] || exit 1
  sandbox_write_kubeconfig
  trap - EXIT INT TERM
  say "up in $(seconds_since "$began") s; export KUBECONFIG=$STATE/kubeconfig PATH=$BIN:\$PATH"
}

# sandbox_write_kubeconfig : one file with a context per zone.
sandbox_write_kubeconfig() (
  umask 077
  KUBECONFIG=$STATE/zone-a/pki/admin.kubeconfig:$STATE/zone-b/pki/admin.kubeconfig \
    "$KUBE" kubectl config view --flatten > "$STATE/kubeconfig.new"
  mv "$STATE/kubeconfig.new" "$STATE/kubeconfig"
)

sandbox_down() {
  local zone jobs=() failed=0
  take_lock
  network_check_owner
  if [ ! -e "$STATE" ] && ! network_exists && [ ! -e "/run/netns/$WAN" ]; then
    say "already down"
    return
  fi
  database_stop
  stop "$STATE/dns/pid" TERM KILL
  for zone in "${ZONES[@]}"; do
    (select_zone "$zone" && zone_down) &
    jobs+=($!)
  done
  for zone in "${jobs[@]}"; do wait "$zone" || failed=1; done
  [ "$failed" = 0 ] || exit 1
  network_down
  rm -rf --one-file-system "$STATE"
  say "down"
}

# sandbox_status : succeeds when everything `up` starts is up.
sandbox_status() {
  local zone wire state whole=0
  if ! network_exists; then
    echo "sandbox: down"
    return 1
  fi
  network_check_owner
  KUBE=$(readlink -f "$BIN/kubectl") # any will do to ask whether a zone is ready
  for zone in "${ZONES[@]}"; do
    select_zone "$zone"
    wire=connected state=ready
    if zone_is_cut; then
      wire="cut"
    elif zone_is_cut_from "$DB_IP"; then
      wire="no database"
    elif zone_is_cut_from "$DNS_IP"; then
      wire="no dns"
    fi
    if ! zone_running; then
      state=stopped
    elif [ "$wire" = cut ]; then
      state=running
    elif ! zone_ready --node "$NODE" --timeout 3s > /dev/null 2>&1; then
      state="not ready"
    fi
    [ "$state" = ready ] || whole=1
    printf '%-9s %-10s %-11s %s\n' "$zone" "$state" "$wire" "$ZONE_IP"
  done
  printf '%-9s %s\n' record "api.$DOMAIN -> $(dns_lookup "api.$DOMAIN" | grep . || echo nobody)"
  printf '%-9s %s\n' database "$(database_status)"
  return "$whole"
}

# sandbox_load [IMAGE…] : names of this repository's images, or archives.
sandbox_load() {
  require_up
  take_lock
  [ $# -gt 0 ] || set -- aporeto-agent ledger
  local image archive zone
  for image in "$@"; do
    case $image in
      aporeto-agent | ledger)
        image_build "$image"
        archive=$STATE/images/$image.tar
        ;;
      *)
        [ -f "$image" ] || usage_error "\"$image\" is neither aporeto-agent nor ledger nor a docker-save archive"
        archive=$image
        ;;
    esac
    for zone in "${ZONES[@]}"; do
      select_zone "$zone"
      zone_load "$archive"
    done
    say "loaded $image into ${ZONES[*]}; pods that already run keep the old image"
  done
}

sandbox_exec() {
  require_up
  export KUBECONFIG=$STATE/kubeconfig PATH=$BIN:$REPO/bin:$PATH # where make build puts the plugin
  with_names "$@"
}
