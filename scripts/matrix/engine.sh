# shellcheck shell=bash
# One engine of the matrix, in a network namespace and with a state of its own; sourced, never run.
#   start_engine VERSION   sets $socket; stop_engine VERSION   also after half a start, and after a run that was killed

namespace_of() { echo "decnet-matrix-${1//./-}"; }
pid_of() {                               # a zombie's cmdline is empty, a reused pid's is another's
  local pid
  pid=$(cat "$1" 2> /dev/null) && tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "$MATRIX_RUN/" && echo "$pid"
}
engine_docker() { docker -H "unix://$socket" "$@"; }

start_engine() {
  local version=$1 namespace run log deadline
  namespace=$(namespace_of "$version") run=$MATRIX_RUN/$version log=$MATRIX/engine-$version.log
  stop_engine "$version"
  say "engine $version: starting (log $log)"
  mkdir -p "$run"
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  socket=$run/docker.sock
  PATH=$MATRIX/engine-$version:$PATH setsid nsenter --net="/run/netns/$namespace" dockerd \
    --data-root "$MATRIX/data-$version" --exec-root "$run/exec" --pidfile "$run/pid" -H "unix://$socket" \
    > "$log" 2>&1 < /dev/null 9>&- &
  deadline=$((SECONDS + 60))
  until timeout 10 docker -H "unix://$socket" version > /dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 $! 2> /dev/null; then
      tail -n 15 "$log" >&2
      fail "engine $version does not answer (its last messages are above)"
    fi
    sleep 0.2
  done
  engine_docker ps -aq | xargs -r docker -H "unix://$socket" rm -f > /dev/null     # of a run that was killed
}

# load_images TAG...   from the installed engine, what is not there yet
load_images() {
  local tag missing=()
  for tag; do engine_docker image inspect "$tag" > /dev/null 2>&1 || missing+=("$tag"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "loading ${#missing[@]} images from the installed engine"
  docker save "${missing[@]}" | engine_docker load > /dev/null
}

stop_engine() {
  local namespace pid file run=$MATRIX_RUN/$1
  namespace=$(namespace_of "$1")
  for file in "$run/pid" "$run/exec/containerd/containerd.pid"; do         # dockerd stops its containerd, unless it was killed
    pid=$(pid_of "$file") || continue
    kill -TERM "$pid" 2> /dev/null || true
    timeout 60 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2> /dev/null || true
  done
  # A killed engine leaves mounts behind, innermost first.
  awk -v run="$run/" -v data="$MATRIX/data-$1/" 'index($2, run) == 1 || index($2, data) == 1 { print $2 }' /proc/mounts |
    sort -r | while read -r mount; do umount "$mount" || umount --lazy "$mount"; done
  rm -rf --one-file-system "$run"
  [ ! -e "/run/netns/$namespace" ] || ip netns delete "$namespace"
}
