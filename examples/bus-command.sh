#!/usr/bin/env bash
# bus-command.sh BROKERS [ID] < command.json   Asks for a change on the bus, and prints the id that it has.
#   DECNET_TOKEN, DECNET_TOKEN_ID   an operator's token and its id, as `decnet token create` prints them
#   ID                              the same id again is the same change; a new one if it is left out
#   COMMAND_TIME                    when it was asked for, RFC 3339; now
# Needs openssl and kcat.
set -euo pipefail
brokers=$1 id=${2:-$(cat /proc/sys/kernel/random/uuid)}
type=decnet.decky.mutate_request.v1
time=${COMMAND_TIME:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/command.json"

# The key is the SHA-256 of the token. What is signed: id, time and type, a line each, and then the command as it is.
key=$(printf %s "$DECNET_TOKEN" | sha256sum | cut -d' ' -f1)
printf '%s\n%s\n%s\n' "$id" "$time" "$type" | cat - "$work/command.json" > "$work/signed"
signature=$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -r "$work/signed" | cut -d' ' -f1)

# Commands with one key keep their order.
decky=$(sed -n 's/.*"decky_name" *: *"\([^"]*\)".*/\1/p' "$work/command.json" | head -n 1)
kcat -b "$brokers" -P -t decnet.commands -k "$decky" -H ce_specversion=1.0 -H "ce_id=$id" -H "ce_time=$time" -H "ce_type=$type" \
  -H content-type=application/json -H "decnet-token=$DECNET_TOKEN_ID" -H "decnet-signature=$signature" "$work/command.json"
echo "$id"
