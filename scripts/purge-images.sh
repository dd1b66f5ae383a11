#!/usr/bin/env bash
# purge-images.sh [REFERENCE]   Removes the images decnet/* (or those that REFERENCE names) that no container uses. Their tags are
#   hashes of what is in them: another installation that wants one makes the same again.
set -euo pipefail
# By id: of an image with several names the engine itself would keep only the last one.
used=$(docker ps -aq --no-trunc | while read -r id; do docker inspect --format '{{.Image}}' "$id" 2> /dev/null || true; done)
docker images --no-trunc --filter "reference=${1:-decnet/*}" --format '{{.ID}} {{.Repository}}:{{.Tag}}' | while read -r id image; do
  if ! grep -qxF "$id" <<< "$used" && docker image rm "$image" > /dev/null 2>&1; then continue; fi
  echo "decnet: the image $image stays: a container uses it" >&2
done
