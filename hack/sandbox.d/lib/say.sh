# shellcheck shell=bash
# Messages, and refusals. Progress goes to stderr, results go to stdout.

say() { echo "sandbox: $*" >&2; }

# fail MESSAGE [HINT] : ends the command with status 1.
fail() {
  echo "error: $1" >&2
  [ -z "${2:-}" ] || echo "hint: $2" >&2
  exit 1
}

usage_error() {
  echo "error: $1" >&2
  echo "hint: hack/sandbox help" >&2
  exit 2
}

# expect_arguments USAGE WANTED GIVEN
expect_arguments() {
  [ "$2" -eq "$3" ] || usage_error "usage: hack/sandbox $1"
}

require_linux_root() {
  [ "$(uname -s)" = Linux ] || fail "the sandbox needs Linux: it is made of network, mount and PID namespaces" "run it in a Linux virtual machine"
  [ "$(id -u)" = 0 ] || fail "hack/sandbox $1 needs root: it makes network namespaces and cgroups" "sudo -i, then run it again"
}

# require_up : refuses unless the network of this sandbox exists.
require_up() {
  network_exists || fail "the sandbox is down" "hack/sandbox up"
}

# seconds_since EPOCHREALTIME : with one decimal.
seconds_since() {
  awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

# take_lock : one command that changes the sandbox at a time. Everything started later must close file descriptor 9.
take_lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/sandbox.lock"
  flock --nonblock 9 && return
  say "another hack/sandbox command is running; waiting for it"
  flock 9
}
