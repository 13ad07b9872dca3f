# shellcheck shell=bash
# Real MongoDB, 4.0 or newer: a config server, the shards `data` and `reports` (one member each) and two routers, TLS
# required, X.509 between members and for clients. Everything is in the database's network namespace.
#
# Setting up is done as a member: with clusterAuthMode x509, a client that logs in with a member's certificate is __system,
# so no user with a password ever exists.

MONGO_CONFIG_PORT=27019

# mongodb_start CERTS : starts every process; sets the cluster up unless that was done before.
mongodb_start() {
  local dir=$STATE/database port
  command -v openssl > /dev/null || fail "openssl is missing" "apt-get install openssl"
  mongodb_certificates "$1"
  mongodb_server config cfg configsvr "$MONGO_CONFIG_PORT"
  mongodb_server shard-data data shardsvr 27020
  mongodb_server shard-reports reports shardsvr 27021
  mongodb_replica_set config cfg "$MONGO_CONFIG_PORT" true
  mongodb_replica_set shard-data data 27020 false
  mongodb_replica_set shard-reports reports 27021 false
  for port in "${DB_ROUTER_PORTS[@]}"; do mongodb_router "$port"; done
  # shellcheck disable=SC2016 # JavaScript's
  mongodb_shell "${DB_ROUTER_PORTS[0]}" shards '
    const known = db.adminCommand({listShards: 1}).shards.map(s => s._id);
    for (const [name, port] of [["data", 27020], ["reports", 27021]]) {
      if (!known.includes(name)) check(db.adminCommand({addShard: name + "/" + IP + ":" + port, name: name}));
    }
    const admin = "CN=mongodb-admin,OU=users,O=mongodb", external = db.getSiblingDB("$external");
    if (external.runCommand({usersInfo: admin}).users.length === 0) {
      check(external.runCommand({createUser: admin, roles: [{role: "root", db: "admin"}], writeConcern: {w: "majority", wtimeout: 10000}}));
    }'
  echo "MongoDB $(mongod --version | awk 'NR == 1 { print $3 }')" > "$dir/kind"
}

# mongodb_certificates CERTS : members and, to begin with, routers show the environment's certificate.
mongodb_certificates() {
  mongodb_plain member.pem
  cp "$STATE/database/member.pem" "$STATE/database/router.pem"
  cp "$1/ca-chain-system.pem" "$STATE/database/ca.pem"
}

# mongodb_plain NAME : router-full.pem as a server takes it: the key without its passphrase (or the passphrase would have to be in
# every configuration), then every certificate of the file, the leaf and its issuer.
mongodb_plain() (
  umask 077
  dir=$STATE/database
  openssl pkey -in "$dir/router-full.pem" -passin "file:$dir/router.pass" -out "$dir/$1.new" || fail "the router's key cannot be decrypted"
  awk '/-----BEGIN CERTIFICATE-----/ { inside = 1 } inside { print } /-----END CERTIFICATE-----/ { inside = 0 }' \
    "$dir/router-full.pem" >> "$dir/$1.new"
  mv "$dir/$1.new" "$dir/$1"
)

# mongodb_restart_routers : each comes back before the next one goes.
mongodb_restart_routers() {
  local port
  mongodb_plain router.pem
  for port in "${DB_ROUTER_PORTS[@]}"; do
    stop "$STATE/database/router-$port.pid" TERM KILL
    mongodb_router "$port"
    sleep 3 # until clients have found it again
  done
}

# mongodb_net PORT KEYFILE : the net and security sections of a configuration. 4.0 says ssl where later versions say tls. To the other
# members a server always shows member.pem: what makes it a member must not change with what clients see.
mongodb_net() {
  local dir=$STATE/database
  echo "net: {port: $1, bindIp: \"127.0.0.1,$DB_IP\", $(
    case $(mongod --version | awk 'NR == 1 { print $3 }') in
      v4.0.*) echo "ssl: {mode: requireSSL, PEMKeyFile: \"$dir/$2\", clusterFile: \"$dir/member.pem\", CAFile: \"$dir/ca.pem\"}" ;;
      *) echo "tls: {mode: requireTLS, certificateKeyFile: \"$dir/$2\", clusterFile: \"$dir/member.pem\", CAFile: \"$dir/ca.pem\"}" ;;
    esac
  )}"
  echo "security: {clusterAuthMode: x509}"
  # While every user is in \$external, a router would let anybody on its own host make a root user without logging in.
  echo "setParameter: {enableLocalhostAuthBypass: false}"
}

# mongodb_server NAME REPLICA-SET ROLE PORT
mongodb_server() {
  local dir=$STATE/database
  mkdir -p "$dir/$1"
  {
    mongodb_net "$4" member.pem
    echo "storage: {dbPath: \"$dir/$1\", wiredTiger: {engineConfig: {cacheSizeGB: 0.25}}}"
    echo "replication: {replSetName: $2}"
    echo "sharding: {clusterRole: $3}"
  } > "$dir/$1.conf"
  database_spawn "$1" mongod --config "$dir/$1.conf"
  database_wait "$1" "$4"
}

# mongodb_replica_set NAME REPLICA-SET PORT IS-CONFIG : initiates it once, and waits for its primary.
mongodb_replica_set() {
  mongodb_shell "$3" "$1" "
    const status = db.adminCommand({replSetGetStatus: 1});
    if (status.code === 94) { // NotYetInitialized
      const config = {_id: '$2', members: [{_id: 0, host: IP + ':$3'}]};
      if ($4) config.configsvr = true;
      check(db.adminCommand({replSetInitiate: config}));
    }
    for (let tries = 150; !db.adminCommand({isMaster: 1}).ismaster; tries--) {
      if (tries === 0) throw new Error('no primary');
      sleep(200);
    }"
}

# mongodb_router PORT
mongodb_router() {
  local dir=$STATE/database
  {
    mongodb_net "$1" router.pem
    echo "sharding: {configDB: \"cfg/$DB_IP:$MONGO_CONFIG_PORT\"}"
  } > "$dir/router-$1.conf"
  database_spawn "router-$1" mongos --config "$dir/router-$1.conf"
  database_wait "router-$1" "$1"
}

# mongodb_shell PORT WHAT SCRIPT : runs SCRIPT as __system on the server at PORT.
mongodb_shell() {
  local dir=$STATE/database shell tls=(--tls --tlsCertificateKeyFile "$STATE/database/member.pem" --tlsCAFile "$STATE/database/ca.pem")
  shell=$(command -v mongosh || command -v mongo)
  case $shell:$(mongod --version | awk 'NR == 1 { print $3 }') in
    */mongo:v4.0.*) tls=(--ssl --sslPEMKeyFile "$dir/member.pem" --sslCAFile "$dir/ca.pem") ;;
  esac
  {
    echo "const IP = '$DB_IP';"
    # shellcheck disable=SC2016 # JavaScript's
    echo 'function check(reply) { if (!reply.ok) throw new Error(JSON.stringify(reply)); }'
    echo "$3"
  } > "$dir/setup.js"
  # shellcheck disable=SC2016 # $external is a database's name
  nsenter --net="/run/netns/$DB_NS" "$shell" --quiet --norc --host "$DB_IP" --port "$1" "${tls[@]}" \
    --authenticationMechanism MONGODB-X509 --authenticationDatabase '$external' "$dir/setup.js" >> "$dir/setup.log" 2>&1 && return
  tail -n 10 "$dir/setup.log" >&2
  fail "setting up MongoDB ($2) does not work" "its log is $dir/setup.log"
}
