# shellcheck shell=sh
# Sourced by the steps of the Dockerfile. What a step changes gets no date of its own, and of the packages' own notes about the
# build nothing stays: the same packages make the same layer, but for dates of what the engine touches afterwards.
set -eu
export DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=0
begun=$(mktemp /dev/shm/begun.XXXXXX)

install_packages() { apt-get -q update && apt-get -qy install --no-install-recommends "$@"; }

# add_user NAME ID FOLDER   With a number that is the same in every build: volumes are owned by it.
add_user() {
  groupadd --gid "$2" "$1"
  useradd --uid "$2" --gid "$2" --home-dir "$3" --create-home --skel /dev/null --shell /usr/sbin/nologin "$1"
}

# PostgreSQL's package makes no cluster.
without_cluster() {
  install_packages postgresql-common
  echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf
}

undated() {
  find /var/log /var/cache /run -xdev -type f -newer "$begun" -delete
  find /var/lib/apt/lists -type f -delete
  find /tmp -mindepth 1 -delete
  # Nothing that the base has: what is left of it in a layer is a mark with a date.
  rm -f /var/cache/ldconfig/* /var/lib/dpkg/*-old
  find / -xdev \( -newer "$begun" -o -cnewer "$begun" \) ! -path '/dev/*' -exec touch -h -d @0 {} + 2> /dev/null || true
}
