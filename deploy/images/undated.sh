# shellcheck shell=sh
# Sourced by the steps of the Dockerfile. What a step changes gets no date of its own, and of the packages' own notes about the
# build nothing stays: the same packages make the same layer.
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
  find /var/log /var/cache /var/lib/apt/lists /run -xdev -type f -newer "$begun" -delete
  find /tmp -mindepth 1 -delete
  rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/* /var/lib/dpkg/*-old /etc/*- /root/.[!.]*
  find / -xdev \( -newer "$begun" -o -cnewer "$begun" \) ! -path '/dev/*' -exec touch -h -d @0 {} + 2> /dev/null || true
}
