# shellcheck shell=bash
# Processes of the sandbox. Each writes its own record before it becomes what it is, so that there is never a process
# without a record: PID and start time (field 22 of /proc/PID/stat), because a PID alone may come to mean another process.

start_time() {
  local stat fields
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
  read -ra fields <<< "${stat##*) }" # the program's name, in parentheses, may hold blanks
  echo "${fields[19]}"
}

# spawn RECORD LOG CMD… : starts CMD in a session of its own, away from this terminal and this lock. When it returns the
# record is there: who asks whether the process runs must not be answered "no" because it has not begun.
spawn() {
  local record=$1 log=$2
  shift 2
  rm -f "$record"
  (
    exec 9>&- < /dev/null >> "$log" 2>&1
    local self=$BASHPID # inside a substitution it would be another one
    echo "$self $(start_time "$self")" > "$record"
    exec setsid "$@"
  ) &
  disown
  wait_until 30 test -s "$record" || fail "process $1 did not begin in 30 s"
}

# running RECORD : prints the PID when the recorded process lives.
running() {
  local pid began
  { read -r pid began < "$1"; } 2> /dev/null || return 1
  [ -n "$began" ] && [ "$(start_time "$pid")" = "$began" ] || return 1
  echo "$pid"
}

# stop RECORD SIGNAL [SIGNAL…] : sends the signals in turn, with five seconds for each, and removes the record.
stop() {
  local record=$1 pid signal
  shift
  for signal in "$@"; do
    pid=$(running "$record") || break
    kill "-$signal" "$pid" 2>/dev/null || true
    wait_until 5 not running "$record" || true
  done
  if pid=$(running "$record"); then fail "process $pid ($record) does not end"; fi
  rm -f "$record"
}

not() { ! "$@" > /dev/null; }

# wait_until SECONDS CMD… : runs CMD ten times a second until it succeeds; fails when the time is up.
wait_until() {
  local tries=$(($1 * 10))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $((tries -= 1)) -gt 0 ] || return 1
    sleep 0.1
  done
}
