#!/usr/bin/env bash
# up.sh   Everything for a first try, in one command: sets the machine up, starts a master, deploys three deckies, and says what
# to type next. Safe to run again: what is there is used, what runs goes on.
#   DECNET_PORT (7440)   DECNET_TLS_HOST (0.0.0.0; "off": no workers)   DECNET_TLS_PORT (7443)   DECNET_STATE_DIR (/var/lib/decnet)   DECNET_FLEET (examples/fleet.yaml)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib-master.sh"
[ "$(id -u)" = 0 ] || fail "this needs root: the master reads the sockets of its deckies under /proc and owns their files. Run it with sudo."

"$ROOT/scripts/setup/all.sh"
mkdir -p "$STATE"
chmod 711 "$STATE"
if ! pid=$(master_pid); then
  ! is_ready || fail "something else answers on $ADDRESS; choose another port with DECNET_PORT"
  say "starting the master on $ADDRESS"
  setsid node "$ROOT/packages/master/dist/main.js" >> "$MASTER_LOG" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$MASTER_PID"
fi
for _ in $(seq 600); do
  is_ready && break
  master_pid > /dev/null || { tail -n 15 "$MASTER_LOG" >&2; fail "the master ended; its last lines are above, all of them in $MASTER_LOG"; }
  sleep 0.1
done
is_ready || fail "the master is not ready after a minute; see $MASTER_LOG and $ADDRESS/readyz"

if [ "$(decnet decky list --json | grep -c '"ref"')" = 0 ]; then
  say "deploying the example fleet (the first time builds its images: a minute or two)"
  decnet fleet apply -y -f "${DECNET_FLEET:-$ROOT/examples/fleet.yaml}" --reason "first try"
fi
cli=$("$ROOT/scripts/link-cli.sh" add)
DECNET_PROGRAM=$cli decnet status
name=$(decnet decky list | awk 'NR == 2 { print $1 }')

# A gRPC call that works when pasted: grpcurl where there is one, else buf, which came with the npm packages.
grpc_line() {
  local grpcurl request="{\"decky\":{\"name\":\"$1\"},\"service\":\"telnet\"}"
  grpcurl=$(command -v grpcurl || true)
  if [ -z "$grpcurl" ] && [ -x "$ROOT/build/tools/grpcurl" ]; then grpcurl=build/tools/grpcurl; fi
  if [ -n "$grpcurl" ]; then
    echo "  ${grpcurl##/*/} -plaintext -H \"authorization: Bearer \$(cat $TOKEN_FILE)\" \\"
    echo "    -d '$request' 127.0.0.1:$DECNET_PORT decnet.v1.MutationService/AddService"
  else
    echo "  node_modules/.bin/buf curl --protocol grpc --http2-prior-knowledge -H \"authorization: Bearer \$(cat $TOKEN_FILE)\" \\"
    echo "    -d '$request' $ADDRESS/decnet.v1.MutationService/AddService"
    echo "  (grpcurl is not on this machine; scripts/setup/grpcurl.sh compiles it into build/tools, which needs Go)"
  fi
}
cat << TEXT

Try next (as root, in $ROOT):

  $cli service add $name ftp banner="ProFTPD 1.3.5 Server"
  curl -s -H "authorization: Bearer \$(cat $TOKEN_FILE)" -H 'content-type: application/json' \\
    -d '{"decky":{"name":"$name"}}' $ADDRESS/decnet.v1.FleetService/GetDecky
$(grpc_line "$name")

Add a worker (a machine with this checkout, set up by scripts/setup/all.sh):

  $cli host invite --name edge-1

Or three of them on this machine, each with an engine of its own: npm run lab -- up

Stop the master (deckies go on): npm run down      Remove every trace: npm run purge -- --yes
TEXT
