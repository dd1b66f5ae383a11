#!/usr/bin/env bash
# kafka.sh [--plan | --jars]   A Kafka broker for the tests (its jars, in build/tools/kafka) and kcat, which reads what it has. Idempotent.
#   --plan   only print what would be done; nothing when there is nothing to do
#   --jars   only the jars, and print where they are: for the image of Kafka
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=4.1.2
LIBS=$ROOT/build/tools/kafka/$VERSION
# command:package
TOOLS=(java:default-jre-headless kcat:kcat openssl:openssl)
[ "${1:-}" != --jars ] || TOOLS=()
[ -e "$LIBS/.complete" ] || TOOLS+=(mvn:maven)

missing=()
for tool in "${TOOLS[@]}"; do have "${tool%%:*}" || missing+=("${tool##*:}"); done
if [ "${1:-}" = --plan ]; then
  [ ${#missing[@]} = 0 ] || echo "programs for the tests of the bus: ${missing[*]}"
  [ -e "$LIBS/.complete" ] || echo "a Kafka broker for the tests, $VERSION, into build/tools/kafka (45 MB)"
  [ -e "$LIBS/classes.jsa" ] || echo "an archive of its classes, so that it starts in half the time (50 MB)"
  exit 0
fi

if [ ${#missing[@]} -gt 0 ]; then
  is_root || fail "need root to install ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
  (take_lock && install_packages "${missing[@]}")
fi
if [ -e "$LIBS/.complete" ]; then
  if [ "${1:-}" = --jars ]; then echo "$LIBS"; exit 0; fi
  [ ! -e "$LIBS/classes.jsa" ] || exit 0
fi

exec 8< "$ROOT"
flock -w 900 8 || fail "another set-up has been at work in $ROOT for 15 minutes"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() {
  say "fetching Kafka $VERSION with Maven into build/tools/kafka"
  cat > "$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  rm -rf "$LIBS"
  mkdir -p "$LIBS"
  if ! mvn -B -q -f "$work/pom.xml" "-Dmaven.repo.local=$work/repository" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$LIBS" > "$work/log" 2>&1 8<&-; then
    tail -n 15 "$work/log" >&2
    fail "Maven could not fetch Kafka $VERSION (output above)"
  fi
  touch "$LIBS/.complete"
}

# The classes that a broker loads, as they are in memory, for the tests' next ones. What cannot be made is done without.
archive() {
  say "running Kafka once, to archive its classes"
  local java=(java -XX:+UseSerialGC -cp "$LIBS/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=info)
  local port=$((20000 + RANDOM % 10000)) broker
  printf '%s\n' process.roles=broker,controller node.id=1 "controller.quorum.voters=1@127.0.0.1:$((port + 1))" \
    "listeners=CLIENTS://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))" inter.broker.listener.name=CLIENTS \
    listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT controller.listener.names=CONTROLLER \
    "log.dirs=$work/data" log.cleaner.dedupe.buffer.size=2097152 > "$work/properties"
  "${java[@]}" kafka.tools.StorageTool format -t decnetTestClusterAAAAA -c "$work/properties" > "$work/log" 2>&1 8<&- || return 0
  "${java[@]}" "-XX:ArchiveClassesAtExit=$work/classes.jsa" kafka.Kafka "$work/properties" > "$work/log" 2>&1 8<&- &
  broker=$!
  for _ in $(seq 600); do
    if grep -q "Kafka Server started" "$work/log" || ! kill -0 "$broker" 2> /dev/null; then break; fi
    sleep 0.1
  done
  kill "$broker" 2> /dev/null || true
  wait "$broker" || true
  [ ! -e "$work/classes.jsa" ] || mv "$work/classes.jsa" "$LIBS/classes.jsa"
}

[ -e "$LIBS/.complete" ] || fetch
if [ "${1:-}" = --jars ]; then echo "$LIBS"; exit 0; fi
[ -e "$LIBS/classes.jsa" ] || archive
