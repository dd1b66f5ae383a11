#!/bin/bash
# start-kafka.sh   A Kafka server (KRaft) in a container. It takes the variables of the official image: CLUSTER_ID,
#   KAFKA_HEAP_OPTS, and KAFKA_NODE_ID and the like for properties (node.id; __ stands for _ and ___ for -).
set -euo pipefail
umask 077
properties=/tmp/server.properties
for variable in $(compgen -e KAFKA_); do
  case $variable in KAFKA_HEAP_OPTS | KAFKA_OPTS | KAFKA_JVM_PERFORMANCE_OPTS) continue ;; esac
  name=${variable#KAFKA_}
  name=${name//___/-} name=${name//__/+} name=${name//_/.}
  name=${name//+/_}
  printf '%s=%s\n' "${name,,}" "${!variable}"
done > "$properties"
# shellcheck disable=SC2206  # several arguments
java=(java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} -XX:+ExitOnOutOfMemoryError ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC}
  ${KAFKA_OPTS:-} -cp '/opt/kafka/libs/*' -Dorg.slf4j.simpleLogger.defaultLogLevel=warn)
if [ ! -e "${KAFKA_LOG_DIRS%%,*}/meta.properties" ]; then
  "${java[@]}" kafka.tools.StorageTool format --ignore-formatted -t "${CLUSTER_ID:-decnetClusterAAAAAAAAA}" -c "$properties"
fi
exec "${java[@]}" kafka.Kafka "$properties"
