# shellcheck shell=bash
# The database of both zones, with the certificates of an environment directory: real MongoDB where mongod, mongos and a
# shell are installed, else the project's stand-in. Clients see the same either way: two routers, X.509.

DB_ROUTER_PORTS=(27017 27018)

# database_routers : what global.database.mongo.host is set to.
database_routers() { printf "$DB_IP:%s\n" "${DB_ROUTER_PORTS[@]}" | paste -sd,; }

# database_start ENVDIR
database_start() {
  require_up
  local env certs dir=$STATE/database port file
  env=$(cd "$1" 2> /dev/null && pwd) || fail "no directory \"$1\"" "kubectl aporeto init $1"
  certs=$env/certs
  for file in mongodb-router-full.pem ca-chain-system.pem; do
    [ -f "$certs/$file" ] || fail "$certs/$file is missing" "kubectl aporeto pki init --env $env"
  done
  mkdir -p "$dir"
  database_stop
  database_passphrase "$env"
  cp "$certs/mongodb-router-full.pem" "$dir/router-full.pem"
  if real_mongodb_installed; then
    # shellcheck source=mongodb.sh
    . "$PARTS/lib/mongodb.sh"
    mongodb_start "$certs"
  else
    standin_start "$certs"
  fi
  rm -f "$dir/router.pass"
  echo "$env" > "$dir/environment"
  echo "database: $(cat "$dir/kind"), routers $(database_routers), certificates of $certs"
}

# database_passphrase ENVDIR : asks the plugin for the router key's passphrase. It goes to a file that only root reads, for
# as long as a server takes to start, and never onto a command line.
database_passphrase() {
  local plugin=${KUBECTL_APORETO:-}
  if [ -z "$plugin" ]; then
    plugin=$(command -v kubectl-aporeto) || {
      build_program ./cmd/kubectl-aporeto kubectl-aporeto
      plugin=$CACHE/dev/kubectl-aporeto
    }
  fi
  (
    umask 077
    "$plugin" value get global.certs.mongodb.router.pass --env "$1" > "$STATE/database/router.pass"
  ) || fail "the passphrase of the router's key cannot be read" "$plugin value get global.certs.mongodb.router.pass --env $1"
}

real_mongodb_installed() {
  command -v mongod > /dev/null && command -v mongos > /dev/null || return 1
  command -v mongosh > /dev/null || command -v mongo > /dev/null && return
  say "mongod and mongos are on PATH, but neither mongosh nor mongo: using the stand-in"
  return 1
}

# database_spawn NAME CMD… : a process of the database, in its network namespace.
database_spawn() {
  local name=$1
  shift
  spawn "$STATE/database/$name.pid" "$STATE/database/$name.log" nsenter --net="/run/netns/$DB_NS" env -i PATH="$PATH" HOME=/nonexistent "$@"
}

# database_wait NAME PORT : until that process listens there.
database_wait() {
  wait_until 30 database_settled "$1" "$2" && port_open "$2" && running "$STATE/database/$1.pid" > /dev/null && return
  tail -n 10 "$STATE/database/$1.log" >&2
  fail "the database's $1 does not listen on $DB_IP:$2" "its log is $STATE/database/$1.log"
}

# Settled: it listens, or it is dead and never will.
database_settled() { port_open "$2" || not running "$STATE/database/$1.pid"; }

port_open() { (exec 3<> "/dev/tcp/$DB_IP/$1") 2> /dev/null; }

# standin_start CERTS : what was written survives a restart.
standin_start() {
  local dir=$STATE/database port
  build_program ./hack/mongo-standin mongo-standin
  database_spawn standin "$CACHE/dev/mongo-standin" --listen "$(database_routers)" \
    --tls-cert-key "$dir/router-full.pem" --tls-cert-key-pass-file "$dir/router.pass" --tls-ca "$1/ca-chain-system.pem" \
    --dialect "${MONGO_STANDIN_DIALECT:-4.0}" --data "$dir/data.bson" --control "$dir/control.sock" --admin-user CN=mongodb-admin,OU=users,O=mongodb
  for port in "${DB_ROUTER_PORTS[@]}"; do database_wait standin "$port"; done
  echo "stand-in, dialect ${MONGO_STANDIN_DIALECT:-4.0}" > "$dir/kind"
}

# database_election SECONDS : no primary for so long.
database_election() {
  require_up
  [[ $1 =~ ^[0-9]+$ ]] || usage_error "\"$1\" is not a number of seconds"
  running "$STATE/database/standin.pid" > /dev/null ||
    fail "no stand-in runs as the database" "hack/sandbox database ENVDIR; real MongoDB is told to step down by its own shell"
  "$CACHE/dev/mongo-standin" --tell "$STATE/database/control.sock" election "${1}s"
  echo "database: no primary for $1 s"
}

# database_routers_restart FILE [PASSFILE] : the routers, and only they, get another certificate, while at most one is away.
database_routers_restart() {
  local dir=$STATE/database full pass=/dev/null
  require_up
  full=$(readlink -e "$1") || fail "there is no file \"$1\""
  [ $# -eq 1 ] || pass=$(readlink -e "$2") || fail "there is no file \"$2\""
  [ -e "$dir/environment" ] || fail "the database is not started" "hack/sandbox database ENVDIR"
  (umask 077 && cat "$pass" > "$dir/router.pass" && cat "$full" > "$dir/router-full.pem")
  if [ -e "$dir/standin.pid" ]; then
    standin_restart_routers
  else
    # shellcheck source=mongodb.sh
    . "$PARTS/lib/mongodb.sh"
    mongodb_restart_routers
  fi
  rm -f "$dir/router.pass"
  echo "database: routers restarted with the certificate of $full"
}

# standin_restart_routers : it does so by itself on SIGHUP, and says when it is done.
standin_restart_routers() {
  local dir=$STATE/database pid before
  pid=$(running "$dir/standin.pid") || fail "the stand-in does not run" "its log is $dir/standin.log"
  before=$(grep -c 'all routers restarted' "$dir/standin.log" || true)
  kill -HUP "$pid"
  wait_until 60 standin_restarted "$before" && return
  tail -n 10 "$dir/standin.log" >&2
  fail "the routers did not restart" "the stand-in's log is $dir/standin.log"
}

standin_restarted() { [ "$(grep -c 'all routers restarted' "$STATE/database/standin.log")" -gt "$1" ]; }

# database_signal SIGNAL : to every process of it.
database_signal() {
  local record pid reached=0
  for record in "$STATE"/database/*.pid; do
    if pid=$(running "$record") && kill "-$1" "$pid"; then reached=$((reached + 1)); fi
  done
  [ "$reached" -gt 0 ] || fail "the database does not run" "hack/sandbox database ENVDIR"
}

# database_stop : routers first, by their records; the data stays.
database_stop() {
  local record pid
  for record in "$STATE"/database/{router-*,shard-*,config,standin}.pid; do
    [ -e "$record" ] || continue
    if pid=$(running "$record"); then kill -CONT "$pid"; fi # one that is frozen would not see the other signals
    stop "$record" TERM KILL
  done
}

database_status() {
  local record total=0 alive=0
  for record in "$STATE"/database/*.pid; do
    [ -e "$record" ] || continue
    total=$((total + 1))
    if running "$record" > /dev/null; then alive=$((alive + 1)); fi
  done
  if [ "$total" = 0 ]; then
    echo "not started (hack/sandbox database ENVDIR)"
  else
    echo "$(cat "$STATE/database/kind" 2> /dev/null || echo unknown), $alive of $total processes, environment $(cat "$STATE/database/environment" 2> /dev/null || echo unknown)"
  fi
}
