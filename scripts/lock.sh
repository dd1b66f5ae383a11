#!/usr/bin/env bash
# lock.sh   Brings package-lock.json up to date with the package.json files, without touching node_modules.
# With a node_modules beside it, npm writes a lock without the packages' hashes. So this works in an empty folder and starts
# from the committed lock file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for file in package.json .npmrc packages/*/package.json test/package.json bench/package.json; do
  mkdir -p "$work/$(dirname "$file")"
  cp "$file" "$work/$file"
done
git show HEAD:package-lock.json > "$work/package-lock.json"
(cd "$work" && npm install --package-lock-only --ignore-scripts)
cat "$work/package-lock.json" > package-lock.json
