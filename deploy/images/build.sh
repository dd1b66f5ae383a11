#!/usr/bin/env bash
# build.sh [--no-cache] [TAG]   The images decnet/{master,agent,postgres,kafka}:TAG, from this checkout (TAG: its version).
#   No image registry is asked: all are built on decnet/base-debian:bookworm (scripts/setup/base-image.sh makes it) with packages
#   of Debian, npm and Maven, from where this machine gets them. What is npm's is pinned by the hashes of lock files.
#   To take them elsewhere: docker save decnet/{master,agent,postgres,kafka}:TAG | zstd > images.tar.zst, and docker load there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/setup/lib.sh"
say() { printf 'images: %s\n' "$*" >&2; }
fail() { printf 'images: error: %s\n' "$*" >&2; exit 1; }
cache=()
if [ "${1:-}" = --no-cache ]; then cache=(--no-cache); shift; fi
VERSION=$(node -p 'require(process.argv[1]).version' "$ROOT/package.json")
TAG=${1:-$VERSION}
BASE=decnet/base-debian:bookworm
IMAGES=$ROOT/deploy/images

docker image inspect "$BASE" > /dev/null 2>&1 || fail "there is no $BASE. Run scripts/setup/base-image.sh first."
[ -x "$ROOT/node_modules/.bin/tsc" ] || fail "the dependencies are missing. Run scripts/setup/all.sh first."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
context=$work/context
mkdir "$context"

say "compiling"
(cd "$ROOT" && node_modules/.bin/tsc -b packages/*)
say "getting what the programs depend on"
install() {                              # install FOLDER ARGUMENT...   npm ci, as the lock file there says
  (cd "$1" && npm ci --omit=dev --ignore-scripts --prefer-offline --no-audit --no-fund "${@:2}" > "$work/log" 2>&1) ||
    { tail -n 20 "$work/log" >&2; fail "npm could not install what $1 needs (output above)"; }
}
mkdir "$work/node"
cp "$IMAGES"/node/package*.json "$work/node/"
install "$work/node"
cp "$work"/node/node_modules/node-linux-*/bin/node "$context/node"

application() {                          # application PACKAGE   of this checkout, with the command line
  local app=$context/$1 manifest package
  mkdir -p "$app"
  cp package.json package-lock.json .npmrc LICENSE README.md decnet "$app/"
  for manifest in packages/*/package.json test/package.json bench/package.json; do
    mkdir -p "$app/${manifest%/*}"
    cp "$manifest" "$app/$manifest"
  done
  for package in contract common engine cli "$1"; do cp -r "packages/$package/dist" "$app/packages/$package/"; done
  cp -r catalog docs "$app/"
  install "$app" -w "packages/$1" -w packages/cli
  # Links to other workspaces, which are not here; and what no program reads.
  find "$app/node_modules" -xtype l -delete
  find "$app" \( -name '*.test.*' -o -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \
    -o -name .tsbuildinfo -o -name .package-lock.json \) -delete
}
cd "$ROOT"
application master
application agent

mkdir "$context/docker"
unpack_from_debian trixie "$work/debian" docker-cli docker-compose docker-buildx
cp "$work"/debian/root/usr/{bin/docker,libexec/docker/cli-plugins/docker-{compose,buildx}} "$context/docker/"
mkdir "$context/kafka"
cp "$("$ROOT/scripts/setup/kafka.sh" --jars)"/*.jar "$context/kafka/"
cp "$IMAGES"/*.sh "$context/"

chmod -R u=rwX,go=rX "$context"
find "$context" -exec touch -h -d @0 {} +
for target in master agent postgres kafka; do
  say "building decnet/$target:$TAG"
  docker build --pull=false --quiet "${cache[@]}" --build-arg SOURCE_DATE_EPOCH=0 --build-arg "BASE_IMAGE=$BASE" \
    --label "decnet.version=$VERSION" --target "$target" -t "decnet/$target:$TAG" -f "$IMAGES/Dockerfile" "$context" > /dev/null
done
say "decnet/{master,agent,postgres,kafka}:$TAG are ready"
