#!/usr/bin/env bash
# build.sh [TAG]   The container images decnet/master:TAG and decnet/agent:TAG, from this checkout (TAG: its version). No registry
#   is asked: the base is decnet/base-debian:bookworm (scripts/setup/base-image.sh makes it), Debian packages come from its mirror,
#   and Node.js, docker and the compose plugin are those of this machine.
#   To take them elsewhere: docker save decnet/master:TAG decnet/agent:TAG | zstd > images.tar.zst, and docker load there.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
say() { printf 'images: %s\n' "$*" >&2; }
fail() { printf 'images: error: %s\n' "$*" >&2; exit 1; }
TAG=${1:-$(node -p 'require(process.argv[1]).version' "$ROOT/package.json")}
BASE=decnet/base-debian:bookworm

docker image inspect "$BASE" > /dev/null 2>&1 || fail "there is no $BASE. Run scripts/setup/base-image.sh first."
[ -x "$ROOT/node_modules/.bin/tsc" ] || fail "the dependencies are missing. Run scripts/setup/all.sh first."
plugin=''
for folder in /usr/local/lib/docker/cli-plugins /usr/local/libexec/docker/cli-plugins /usr/lib/docker/cli-plugins /usr/libexec/docker/cli-plugins; do
  if [ -z "$plugin" ] && [ -x "$folder/docker-compose" ]; then plugin=$folder; fi
done
[ -n "$plugin" ] || fail "there is no compose plugin on this machine. Run scripts/setup/engine.sh first."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "compiling"
(cd "$ROOT" && node_modules/.bin/tsc -b packages/*)
mkdir -p "$work/app" "$work/bin" "$work/cli-plugins"
cp -L "$(command -v node)" "$(command -v docker)" "$work/bin/"
for each in docker-compose docker-buildx; do
  [ ! -e "$plugin/$each" ] || cp -L "$plugin/$each" "$work/cli-plugins/"
done
cd "$ROOT"
cp package.json package-lock.json .npmrc LICENSE README.md decnet "$work/app/"
for manifest in packages/*/package.json test/package.json bench/package.json; do
  mkdir -p "$work/app/${manifest%/*}"
  cp "$manifest" "$work/app/$manifest"
done
for package in packages/*; do
  [ ! -d "$package/dist" ] || cp -r "$package/dist" "$work/app/$package/"
done
find "$work/app" \( -name '*.test.*' -o -name '*.map' -o -name '*.d.ts' -o -name .tsbuildinfo \) -delete
cp -r catalog docs "$work/app/"
say "getting what the programs depend on"
(cd "$work/app" && npm ci --omit=dev --ignore-scripts --prefer-offline --no-audit --no-fund \
  -w packages/master -w packages/agent -w packages/cli > "$work/npm.log" 2>&1) ||
  { tail -n 20 "$work/npm.log" >&2; fail "npm could not install them (output above)"; }
# The same files make the same layer, whenever they are copied.
find "$work" -exec touch -h -d @0 {} +
for target in master agent; do
  say "building decnet/$target:$TAG"
  docker build --pull=false --quiet --build-arg "BASE_IMAGE=$BASE" --label "decnet.version=$TAG" --target "$target" \
    -t "decnet/$target:$TAG" -f deploy/images/Dockerfile "$work" > /dev/null
done
say "decnet/master:$TAG and decnet/agent:$TAG are ready"
