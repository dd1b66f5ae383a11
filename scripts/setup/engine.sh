#!/usr/bin/env bash
# engine.sh [--plan]   A Docker engine that answers, with `docker compose` and `docker buildx`. Idempotent.
#   An engine that answers is used as it is. Otherwise: the distribution's packages where they are new enough (Debian 13,
#   Ubuntu 24.04), or on Debian 12 Debian 13's packages unpacked into /opt/decnet/engine, beside the system's own.
#   --plan   only print what would be done, one line each; nothing when there is nothing to do
# An engine that this script starts is stopped by stop-engine.sh; purge.sh removes it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MIN_ENGINE=25                            # the first that pins a MAC address per network
PLUGINS=/usr/local/lib/docker/cli-plugins
SOCKET=/var/run/docker.sock

# What `docker` says about its server: a version, or nothing.
server_version() { have docker && timeout 10 docker version --format '{{.Server.Version}}' 2> /dev/null || true; }
compose_major() { major "$(have docker && timeout 20 docker compose version --short 2> /dev/null || true)"; }

look() {
  server=$(server_version)
  compose=$(compose_major)
  buildx=$(have docker && timeout 20 docker buildx version > /dev/null 2>&1 && echo 1 || echo 0)
}

# Which way to install: apt (the distribution's packages), private (unpacked ones), or none.
case "$(os_release ID) $(major "$(os_release VERSION_ID)")" in
  'debian 12') way=private ;;
  'debian 1'[3-9]) way=apt; compose_package=docker-compose ;;
  'ubuntu 2'[4-9]) way=apt; compose_package=docker-compose-v2 ;;
  *) way=none ;;
esac

new_enough() { [ "$(major "$("$1" --version 2> /dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')")" -ge "$MIN_ENGINE" ]; }

# The dockerd to start: the private one, or an installed one that is new enough (with systemd: the one it manages).
dockerd_path() {
  if [ -x "$ENGINE_DIR/bin/dockerd" ]; then echo "$ENGINE_DIR/bin/dockerd"
  elif have dockerd && { has_systemd || new_enough dockerd; }; then command -v dockerd
  fi
}

plan() {
  [ "$compose" -ge 2 ] && [ "$buildx" = 1 ] && [ -n "$server" ] && return
  local need=()
  [ -n "$server$(dockerd_path)" ] || need+=(engine)
  have docker || need+=(client)
  [ "$compose" -ge 2 ] || need+=(compose)
  [ "$buildx" = 1 ] || need+=(buildx)
  if [ ${#need[@]} -gt 0 ]; then
    case $way in
      apt) echo "Docker (${need[*]}) from this distribution's packages" ;;
      private) echo "Docker (${need[*]}) from Debian 13's packages, unpacked into $ENGINE_DIR" ;;
      none) echo "Docker (${need[*]}): cannot be installed here automatically" ;;
    esac
  fi
  [ -n "$server" ] || echo "start of the Docker engine"
}

warn_if_old() {
  local v
  v=$(server_version)
  [ "$(major "$v")" -ge "$MIN_ENGINE" ] ||
    say "warning: Docker engine $v is older than $MIN_ENGINE: it runs decoys, but cannot pin their MAC addresses"
}

link() {                                 # link TARGET PATH, remembered for purge.sh
  mkdir -p "${2%/*}"
  ln -sfn "$1" "$2"
  record "link $2"
}

install_private() {
  local packages=() work file
  [ -n "$server$(dockerd_path)" ] || packages+=(docker.io containerd)
  have docker || packages+=(docker-cli)
  [ "$compose" -ge 2 ] || packages+=(docker-compose)
  [ "$buildx" = 1 ] || packages+=(docker-buildx)
  [ ${#packages[@]} -gt 0 ] || return 0

  mkdir -p "$ENGINE_DIR"/{bin,cli-plugins}
  case " ${packages[*]} " in *' docker.io '*) install_packages runc iptables tini ;; esac
  work=$(mktemp -d /opt/decnet/unpack.XXXXXX)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$work'" EXIT
  say "fetching Debian 13's ${packages[*]} into $ENGINE_DIR"
  unpack_from_debian trixie "$work" "${packages[@]}"

  for file in "$work"/root/usr/{bin,sbin}/*; do
    case ${file##*/} in
      containerd | containerd-shim-runc-v2 | ctr | docker | dockerd | docker-proxy) mv -f "$file" "$ENGINE_DIR/bin/" ;;
    esac
  done
  for file in "$work"/root/usr/libexec/docker/cli-plugins/*; do
    [ -e "$file" ] || continue
    mv -f "$file" "$ENGINE_DIR/cli-plugins/"
    link "$ENGINE_DIR/cli-plugins/${file##*/}" "$PLUGINS/${file##*/}"
  done
  ln -sfn /usr/bin/tini-static "$ENGINE_DIR/bin/docker-init"      # bind-mounted into containers, so the static one
  have docker || link "$ENGINE_DIR/bin/docker" /usr/local/bin/docker
}

install_from_distribution() {
  local packages=()
  if [ -z "$server$(dockerd_path)" ]; then packages+=(docker.io); fi
  have docker || packages+=(docker-cli)
  [ "$compose" -ge 2 ] || packages+=("$compose_package")
  [ "$buildx" = 1 ] || packages+=(docker-buildx)
  if [ "$(os_release ID)" = ubuntu ]; then packages=("${packages[@]/docker-cli/docker.io}"); fi
  install_packages "${packages[@]}"
}

write_unit() {
  cat > "$ENGINE_UNIT" << UNIT
[Unit]
Description=Docker engine for decoys
After=network-online.target firewalld.service
Wants=network-online.target

[Service]
Type=notify
Environment=PATH=$ENGINE_DIR/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=$ENGINE_DIR/bin/dockerd $*
ExecReload=/bin/kill -s HUP \$MAINPID
RuntimeDirectory=decnet
RuntimeDirectoryPreserve=yes
TimeoutStartSec=0
Restart=always
RestartSec=2
Delegate=yes
KillMode=process
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
UNIT
  record "file $ENGINE_UNIT"
}

listening() { awk -v s="$SOCKET" '$4 == "00010000" && ($8 == s || $8 == substr(s, 5)) { f = 1 } END { exit !f }' /proc/net/unix; }

start() {
  local dockerd args
  started=
  dockerd=$(dockerd_path)
  if has_systemd && [ "$dockerd" != "$ENGINE_DIR/bin/dockerd" ]; then
    say "starting the Docker engine: systemctl enable --now docker"
    systemctl enable --now docker >&2
  elif engine_pid > /dev/null || listening; then
    say "waiting for the Docker engine on $SOCKET, which is starting"
  else
    mkdir -p "$ENGINE_DATA" "$ENGINE_RUN" "${ENGINE_LOG%/*}"
    rm -f "$ENGINE_PID"                  # dockerd takes a zombie, or a process that has that number now, for a running engine
    args=(--data-root "$ENGINE_DATA" --exec-root "$ENGINE_RUN" --pidfile "$ENGINE_PID" -H "unix://$SOCKET")
    if has_systemd; then
      say "starting the Docker engine as decnet-engine.service"
      write_unit "${args[@]}"
      systemctl daemon-reload
      systemctl enable --now decnet-engine >&2
    else
      say "starting the Docker engine ($dockerd, log $ENGINE_LOG)"
      [ ! -e "$ENGINE_LOG" ] || mv -f "$ENGINE_LOG" "$ENGINE_LOG.1"
      PATH=$ENGINE_DIR/bin:$PATH setsid "$dockerd" "${args[@]}" >> "$ENGINE_LOG" 2>&1 < /dev/null 9>&- &
      started=1
    fi
  fi
}

wait_until_it_answers() {
  local deadline=$((SECONDS + 60))
  until [ -n "$(server_version)" ]; do
    if [ "$SECONDS" -ge "$deadline" ] || { [ -n "$started" ] && [ -z "$(jobs -rp)" ]; }; then
      [ ! -e "$ENGINE_LOG" ] || grep -vE 'level=(info|debug)' "$ENGINE_LOG" | tail -n 15 >&2 || true
      fail "the Docker engine does not answer on $SOCKET (its last messages are above, all of them in $ENGINE_LOG or in journalctl)"
    fi
    sleep 0.1
  done
}

look
todo=$(plan)
if [ "${1:-}" = --plan ]; then [ -z "$todo" ] || echo "$todo"; exit 0; fi
if [ -z "$todo" ]; then warn_if_old; exit 0; fi

if have docker; then
  ! docker --version 2> /dev/null | grep -qi podman || fail "the docker command here is podman's; a Docker engine is needed"
  if [ -z "$server" ]; then
    if [ -n "${DOCKER_HOST:-}" ]; then fail "DOCKER_HOST is $DOCKER_HOST, but no engine answers there. Unset it to use one on this machine."; fi
    ! timeout 10 docker version 2>&1 | grep -qi 'permission denied' ||
      fail "a Docker engine runs here, but $(id -un) may not use it. Add yourself to its group (usermod -aG docker $(id -un)) or use sudo."
  fi
fi
is_root || fail "no usable Docker engine here (missing: $(paste -sd ';' <<< "$todo")) and installing needs root. Run: sudo scripts/setup/engine.sh"
[ "$way" != none ] || [ -z "$(grep '^Docker' <<< "$todo" || true)" ] ||
  fail "do not know how to install Docker on $(os_release PRETTY_NAME). Install Docker engine $MIN_ENGINE or newer with its compose and buildx plugins, then run this again."

take_lock
look                                     # another set-up may have done it while we waited
if grep -q '^Docker' <<< "$(plan)"; then
  case $way in
    apt) install_from_distribution ;;
    private) install_private ;;
  esac
  look
fi
[ "$compose" -ge 2 ] && [ "$buildx" = 1 ] || fail "installed, but 'docker compose version' or 'docker buildx version' does not work"
if [ -z "$server" ]; then
  start
  wait_until_it_answers
fi
warn_if_old
say "Docker engine $(server_version) answers, compose $(docker compose version --short), $(docker buildx version | cut -d' ' -f1,2)"
