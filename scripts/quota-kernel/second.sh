#!/bin/bash
# What runs on that kernel: an engine, and the tests.
work=$1
exec > "$work/log" 2>&1
mapfile -t job < "$work/job"
modprobe() { "$work/root/bin/busybox" modprobe "$1"; }
ip link set lo up
for module in loop veth bridge br_netfilter ip_tables iptable_nat iptable_filter xt_MASQUERADE xt_nat xt_conntrack xt_addrtype xt_comment; do
  modprobe $module
done
# That kernel has the tables of old alone.
for command in iptables iptables-save iptables-restore ip6tables; do ln -sf /usr/sbin/xtables-legacy-multi /usr/sbin/$command; done
dockerd --data-root /tmp/data --exec-root /tmp/exec -H unix:///var/run/docker.sock > /tmp/dockerd.log 2>&1 &
for _ in $(seq 60); do docker version > /dev/null 2>&1 && break; sleep 1; done
docker load -q -i "$work/images.tar" || tail -n 5 /tmp/dockerd.log
cd "${work%/build/quota-kernel}" || exit 1
# Everything takes several times as long.
npx vitest run --testTimeout=600000 --hookTimeout=600000 --project integration "${job[0]}" -t "${job[1]}" && echo "the tests passed"
"$work/root/bin/busybox" poweroff -f
