#!/bin/bash
# The network device with vhost-net: the kernel moves the packets, everything else is as without.
# timeout: 1800
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../net-guest.sh"

tap
# Without the module and its node: nobody loads it behind our back here, as the node is not there.
rm -f /dev/vhost-net
expect_failure "a host without /dev/vhost-net" 125 'vhost: open /dev/vhost-net: No such file.*modprobe vhost_net' \
	guest true '"vhost": true'
modprobe vhost_net
[ -e /dev/vhost-net ] || mknod /dev/vhost-net c 10 238
expect_failure "a rate limit beside it" 125 'vhost: .* knows no rate limits' \
	guest true '"vhost": true, "send_rate": {"bytes": 1000000}'

expect_match "a guest reaches the host" "3 packets received" guest "ping -c 3 -i 0.2 10.99.0.1" '"vhost": true'
expect_match "with IPv6, too" "2 packets received" guest "ping -c 2 -i 0.2 fd99::1" '"vhost": true'
expect_match "a ping of 60 KB in fragments" "2 packets received" guest "ping -c 2 -i 0.2 -s 60000 10.99.0.1" '"vhost": true'
expect_match "its hardware address is the one given" "02:00:00:00:00:07" guest "ip link show eth0" '"vhost": true'

# The VMM counts nothing, for no packet comes by.
control=$work/control
both_ways() { # [KEYS]
	exchange 40000000 "'kicks', sum(q['kicks'] for q in device['queues'][:2]), 'watching', sum(q['watching'] for q in device['queues'][:2])" "$@"
}
expect_match "40 MB come in and go out whole, past the VMM" '^whole kicks 0 watching 0$' both_ways '"vhost": true'
expect_match "the same without vhost passes it" '^whole kicks [1-9][0-9]* watching 2$' both_ways
unset control

# The driver lets go of the device and takes it again: a reset, and new queues.
# shellcheck disable=SC2016 # the guest's shell expands it
again='cd /sys/bus/virtio/drivers/virtio_net; d=$(basename virtio*); echo $d >unbind; echo $d >bind; ip link set eth0 up;
	ip addr add 10.99.0.2/24 dev eth0; ping -c 2 -i 0.2 10.99.0.1'
expect_match "after a reset" "2 packets received" guest "${again//$'\n'/ }" '"vhost": true'

tap multi_queue
vcpus=2
expect_match "two queue pairs" "3 packets received" guest "ping -c 3 -i 0.2 10.99.0.1" '"queues": 2, "vhost": true'
vcpus=1

tap
survives_its_tap '"vhost": true'

# The end of a VM, in the middle of everything: nothing of it stays in the kernel.
tap
guest 'while true; do ping -c 1 10.99.0.1; echo pinged; done' '"vhost": true' >"$work/log" 2>&1 &
until grep -qs pinged "$work/log"; do sleep 0.2; done
vmm=$(pgrep -x katavm-vmm)
check "its thread of the kernel's is there" pgrep -x "vhost-$vmm"
kill -9 "$vmm"
wait
for _ in $(seq 100); do pgrep -x "vhost-$vmm" >/dev/null || break; sleep 0.1; done
expect_status "and gone with a VMM that was killed" 1 pgrep -x "vhost-$vmm"
ip link del t0

# A container.
. "$(dirname "$0")/../network.sh"
make_outside
expect_match "a container with vhost" '^192\.0\.2\.1$' run --network default,vhost "$image" sh -c 'echo | nc -w 60 192.0.2.2 7000'
expect_failure "and what it may reach is kept outside of the VM" 0 '[1-9][0-9]* packets? (was|were) denied' \
	run --network default,vhost --allow-host 192.0.2.2:7000 "$image" sh -c 'echo | nc -w 60 192.0.2.2 7000; ! echo | nc -w 5 192.0.2.2 7001'
expect_failure "vhost and a rate" 125 'knows no rate limits' run --network default,vhost,rate=1m "$image" true
remove_outside
