#!/usr/bin/env bash
# teardown-topologies.sh   Tears every topology of this master down of which something may be there, and names those that stay.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib-master.sh"
# All that were ever deployed; of one that failed something may be there, too.
deployed() {
  decnet topology list --json | node -e '
    const { topologies = [] } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    for (const { name, state } of topologies) if (!/_(PENDING|TORN_DOWN)$/.test(state)) console.log(name);'
}
names=$(deployed) || fail "the topologies could not be listed, and nothing was removed"
left=
for name in $names; do
  decnet topology teardown "$name" --accept "teardown=$name" --yes --reason purge || left="$left $name"
done
[ -z "$left" ] || fail "these topologies could not be torn down:$left; decnet topology show NAME says why"
