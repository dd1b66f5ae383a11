# shellcheck shell=bash
# Shared by the set-up scripts; sourced, never run. Each script checks first, says what it will install, then installs.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ENGINE_DIR=/opt/decnet/engine          # the engine's binaries, when we had to bring our own
ENGINE_DATA=/var/lib/decnet/engine     # dockerd --data-root
ENGINE_RUN=/run/decnet/engine          # dockerd --exec-root
ENGINE_PID=/run/decnet/engine.pid
ENGINE_LOG=/var/log/decnet/engine.log
ENGINE_UNIT=/etc/systemd/system/decnet-engine.service
INSTALLED=/var/lib/decnet/installed    # what these scripts added to the machine: "apt NAME" or "link PATH"
export DEBIAN_FRONTEND=noninteractive

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" > /dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
has_systemd() { [ -d /run/systemd/system ]; }
major() { local v=${1#v}; v=${v%%[!0-9]*}; echo "${v:-0}"; }

# One set-up at a time on this machine. Programs that are started to stay must not inherit the lock: `9>&-`.
take_lock() {
  mkdir -p /run/decnet
  exec 9> /run/decnet/setup.lock
  flock -w 900 9 || fail "another set-up has held /run/decnet/setup.lock for 15 minutes"
}

record() {
  mkdir -p "${INSTALLED%/*}"
  grep -qxF "$1" "$INSTALLED" 2> /dev/null || echo "$1" >> "$INSTALLED"
}

os_release() { (. /etc/os-release && eval "echo \"\${$1:-}\""); }
package_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

missing_packages() {
  local p
  for p in "$@"; do package_installed "$p" || echo "$p"; done
}

apt() { apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@"; }

# Installs what is missing of the named packages, says so before, and remembers what was new.
install_packages() {
  local new before log
  mapfile -t new < <(missing_packages "$@")
  [ ${#new[@]} -gt 0 ] || return 0
  have apt-get || fail "cannot install ${new[*]}: this machine has no apt-get. Install them yourself, then run this again."
  is_root || fail "need root to install ${new[*]}. Run: sudo apt-get install ${new[*]}"
  say "installing with apt-get: ${new[*]}"
  log=$(mktemp); before=$(mktemp)
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort > "$before"
  if ! { apt -y --no-install-recommends install "${new[@]}" || { apt update && apt -y --no-install-recommends install "${new[@]}"; }; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log" "$before"
    fail "apt-get could not install ${new[*]} (output above)"
  fi
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort | comm -13 "$before" - |
    while read -r p; do record "apt $p"; done
  rm -f "$log" "$before"
}

# The private engine's pid, when it runs. A zombie's cmdline is empty, a reused pid's is another's.
engine_pid() {
  local pid
  pid=$(cat "$ENGINE_PID" 2> /dev/null) || return 1
  tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "--pidfile $ENGINE_PID " || return 1
  echo "$pid"
}

# The machine's own Debian sources, told for another release: "URI SUITE" per line, e.g. for bookworm on a trixie machine.
# DECNET_DEBIAN_MIRROR (a mirror's address) is used instead where the machine has none.
debian_sources() {
  local release=$1 own
  own=$(_debian_sources "$release")
  if [ -z "$own" ] && [ -z "${DECNET_DEBIAN_MIRROR:-}" ] && have apt-get && is_root; then
    say "refreshing the package lists"
    apt update > /dev/null 2>&1 || true
    own=$(_debian_sources "$release")
  fi
  if [ -n "${DECNET_DEBIAN_MIRROR:-}" ]; then own="${DECNET_DEBIAN_MIRROR%/} $release"; fi
  grep -q " $release\$" <<< "$own" ||
    fail "this machine's apt sources name no mirror of Debian's main archive; name one in DECNET_DEBIAN_MIRROR"
  echo "$own"
}

_debian_sources() {
  local codename
  codename=$(os_release VERSION_CODENAME)
  apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2> /dev/null |
    awk -F'|' -v from="$codename" -v to="$1" '
      $1 == "Debian" && $3 == "main" && index($2, from) == 1 {
        suite = to substr($2, length(from) + 1)
        if (suite == to || suite == to "-updates" || suite == to "-security") { sub(/\/$/, "", $4); print $4, suite }
      }' | awk '!seen[$0]++'
}

# unpack_from_debian RELEASE WORK PACKAGE...   Another release's packages, unpacked into WORK/root: fetched with an apt state of their
# own, so that the machine's sources stay as they are.
unpack_from_debian() {
  local release=$1 work=$2 deb keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
  shift 2
  [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
  mkdir -p "$work"/{lists,cache/archives}/partial "$work"/{debs,root}
  debian_sources "$release" | sed "s|^|deb $signed|; s|\$| main|" > "$work/sources.list"
  local private=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  (
    cd "$work/debs"
    apt "${private[@]}" update && apt "${private[@]}" download "$@"
  ) > "$work/log" 2>&1 || { tail -n 15 "$work/log" >&2; fail "could not fetch $* of Debian's $release (output above)"; }
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
}
