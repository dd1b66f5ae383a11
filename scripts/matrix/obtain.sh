#!/usr/bin/env bash
# obtain.sh engine|compose VERSION   The programs of one engine, or one compose plugin, in build/matrix/. Idempotent.
#   Debian's packages are unpacked beside the system's own; what Debian does not have is compiled from the Go module proxy.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MOBY=v2.0.0-beta.24 RUNC=v1.3.6        # runc 1.1 cannot do what engine 29 asks of it

into=$MATRIX/$1-$2
[ ! -e "$into" ] || exit 0
work=$MATRIX/work-$1-$2
rm -rf "$work"
mkdir -p "$work/bin"

# debian RELEASE PACKAGE...   their programs, into bin/
debian() {
  local release=$1 file
  shift
  say "$into: fetching Debian's $* ($release)"
  unpack_from_debian "$release" "$work/$release" "$@"
  for file in "$work/$release"/root/usr/{bin,sbin,libexec/docker/cli-plugins}/*; do
    [ ! -f "$file" ] || mv -f "$file" "$work/bin/"
  done
}

# compile PROGRAM MODULE VERSION PACKAGE [FLAG...]   a Go program, into bin/
compile() {
  local program=$1 module=$2 version=$3 package=$4 folder=$work/source-$1
  shift 4
  have go || fail "Go is needed to compile $module (1.26 or newer; the distribution's package is too old). See https://go.dev/dl/"
  say "$into: compiling $module $version (some minutes)"
  cp -r "$(go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" "$folder"
  chmod -R u+w "$folder"
  (cd "$folder" && nice go build -mod=mod -trimpath -o "$work/bin/$program" "$@" "$package") > "$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; fail "could not compile $module $version (output above)"; }
}

case "$1 $2" in
  'engine 20.10') debian bookworm docker.io containerd runc tini ;;
  'engine 26.1')
    debian trixie docker.io containerd
    debian bookworm runc tini
    ;;
  'engine 29')
    debian trixie docker.io containerd
    debian bookworm tini libseccomp-dev libseccomp2
    compile dockerd github.com/moby/moby/v2 "$MOBY" ./cmd/dockerd \
      -ldflags "-X github.com/moby/moby/v2/dockerversion.Version=29.0.0-$MOBY"
    PKG_CONFIG_SYSROOT_DIR=$work/bookworm/root PKG_CONFIG_LIBDIR=$(echo "$work"/bookworm/root/usr/lib/*/pkgconfig) \
      compile runc github.com/opencontainers/runc "$RUNC" . -tags seccomp
    ;;
  'compose 2.26') debian trixie docker-compose ;;
  'compose 5.2') compile docker-compose github.com/docker/compose/v5 v5.2.0 ./cmd -ldflags '-X github.com/docker/compose/v5/internal.Version=v5.2.0' ;;
  'compose 5.5') compile docker-compose github.com/docker/compose/v5 v5.5.1 ./cmd -ldflags '-X github.com/docker/compose/v5/internal.Version=v5.5.1' ;;
  *) fail "do not know how to obtain $1 $2" ;;
esac
[ ! -e "$work/bin/tini-static" ] || ln -sfn tini-static "$work/bin/docker-init"   # bind-mounted into containers, so the static one
mv "$work/bin" "$into"
rm -rf "$work"
