# shellcheck shell=bash
# What must be there before anything runs: Debian packages, Kubernetes, CoreDNS. Built outside the repository, named by a
# hash of their sources, so that a clone that changes them builds its own and an unchanged one builds nothing.

# package_of COMMAND : the Debian package that has it.
package_of() {
  case $1 in
    containerd | ctr) echo containerd ;;
    runc) echo runc ;;
    /usr/lib/cni/*) echo containernetworking-plugins ;;
    nft) echo nftables ;;
    ip) echo iproute2 ;;
    flock | nsenter | setpriv | setsid | unshare | mountpoint) echo util-linux ;;
  esac
}

install_packages() {
  local want=() program
  for program in containerd ctr runc /usr/lib/cni/ptp nft ip flock nsenter setpriv setsid unshare mountpoint; do
    command -v "$program" > /dev/null || want+=("$(package_of "$program")")
  done
  [ ${#want[@]} -gt 0 ] || return 0
  mapfile -t want < <(printf '%s\n' "${want[@]}" | sort -u)
  command -v apt-get > /dev/null || fail "missing: ${want[*]} (names of Debian's packages)" "install them, then run this again"
  [ "$(id -u)" = 0 ] || fail "missing Debian packages: ${want[*]}" "sudo apt-get install --no-install-recommends ${want[*]}"
  say "installing Debian packages: ${want[*]}"
  local log=$CACHE/apt.log
  mkdir -p "$CACHE"
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${want[@]}"; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "cannot install ${want[*]}" "the whole log is in $log"
  fi
}

require_go() {
  command -v go > /dev/null || fail "there is no go on PATH" "install Go 1.26 or later: https://go.dev/doc/install"
}

# tool_path NAME : where the built hack/tools/NAME is, or will be.
tool_path() {
  local dir=$HERE/tools/$1 hash
  hash=$(cd "$dir" && sha256sum go.mod go.sum ./*.go | sha256sum)
  echo "$BIN/$1-${hash:0:16}"
}

# tool_flags NAME : its linker flags. Kubernetes learns its version from them; clients and node versions are compared.
tool_flags() {
  local flags="-s -w" version minor package
  if [ "$1" = kube ]; then
    version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$HERE/tools/kube/go.mod")
    minor=${version#v1.}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    done
  fi
  echo "$flags"
}

# build_tool NAME EXPECTED-TIME : builds hack/tools/NAME unless it is there. A half-written file is never found under its
# name, and a second builder waits for the first.
build_tool() {
  local name=$1 target
  target=$(tool_path "$name")
  [ ! -x "$target" ] || return 0
  require_go
  mkdir -p "$BIN"
  (
    exec 8> "$BIN/.$name.lock"
    flock --nonblock 8 || { say "another build of $name is running; waiting for it"; flock 8; }
    [ ! -x "$target" ] || exit 0
    say "building $name, once; $2. The result is kept in $BIN"
    began=$SECONDS
    log=$CACHE/build-$name.log
    heartbeat "$name" "$BASHPID" &
    beat=$!
    trap 'kill "$beat" 2> /dev/null; rm -f "$target.new"' EXIT
    if ! (cd "$HERE/tools/$name" && env GOFLAGS='' GOWORK=off CGO_ENABLED=0 go build -trimpath -ldflags="$(tool_flags "$name")" -o "$target.new" .) > "$log" 2>&1; then
      tail -n 20 "$log" >&2
      fail "cannot build $name" "the whole log is in $log"
    fi
    mv "$target.new" "$target"
    say "built $name in $((SECONDS - began)) s"
  )
}

# heartbeat NAME BUILDER : one line a minute, until it is ended or the builder is gone.
heartbeat() {
  exec 8>&- 9>&-
  local minutes=0 nap
  trap 'kill "$nap" 2> /dev/null; exit' TERM
  while sleep 60 & nap=$! && wait "$nap" && kill -0 "$2" 2> /dev/null; do
    say "still building $1 ($((minutes += 1)) min)"
  done
}

# build_program PACKAGE NAME : builds a program of the main module, statically, to $CACHE/dev/NAME. Go's own cache makes a
# repeated build quick.
build_program() {
  require_go
  mkdir -p "$CACHE/dev"
  (cd "$REPO" && env GOFLAGS='' GOWORK=off CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$CACHE/dev/$2" "$1") ||
    fail "cannot build $1"
}

build_all() {
  install_packages
  build_tool kube "the first time it takes 15 to 35 minutes (Kubernetes from source), later none"
  build_tool coredns "the first time it takes 2 to 6 minutes, later none"
  KUBE=$(tool_path kube)
  # shellcheck disable=SC2034 # dns.sh and images.sh use it
  COREDNS=$(tool_path coredns)
  # Called by this name the binary is kubectl.
  if [ "$(readlink "$BIN/kubectl" || true)" != "${KUBE##*/}" ]; then
    ln -sf "${KUBE##*/}" "$BIN/.kubectl.new"
    mv -f "$BIN/.kubectl.new" "$BIN/kubectl"
  fi
}
