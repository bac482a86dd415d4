#!/bin/bash
# timeout: 1200
# Memory that a container does not use any more is the host's again, and how much it may use can change.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../told.sh"
cd "$work" || exit 1

rss_kib() { # memory of the VMM's own, which the guest's is
	awk '/^RssAnon:/ { print $2 }' "/proc/$vmm/status"
}
attached() { # the agent looks for the device when the container has been running for a while
	tell 'until grep -q . /sys/bus/virtio/drivers/virtio_balloon/virtio*/features; do sleep 0.2; done'
}

start -m 512m
check "a container has a balloon, late" attached
in_use() { # 256 MiB more than before are
	for _ in $(seq 3000); do
		peak=$(rss_kib)
		[ "$peak" -ge $((before + 262144)) ] && return 0
		sleep 0.1
	done
	echo "before $before KiB, now $peak KiB"
	return 1
}
returned() { # 90 % of it, however long this host takes
	local now
	for _ in $(seq 3000); do
		now=$(rss_kib)
		[ $(((peak - now) * 100)) -ge $(((peak - before) * 90)) ] && return 0
		sleep 0.1
	done
	echo "before $before KiB, at most $peak KiB, now $now KiB"
	return 1
}
before=$(rss_kib)
for round in "of 256 MiB" "again"; do
	# it holds its buffer for as long as nobody reads
	tell 'dd if=/dev/zero bs=256M count=1 2>/dev/null | sleep 10000 &'
	check "a process's memory $round is the host's" in_use
	tell 'killall sleep'
	check "90 % of it go back, $round" returned
done
check "and the container ends" end

# katavm update -m, up and down, while it runs
guest_mib() { # of all memory the guest has
	tell "awk '/^MemTotal:/ { print \"total \" int(\$2 / 1024) }' /proc/meminfo"
	sed -n 's/^total //p' "$work/said" | tail -n 1
}
limit_is() { # BYTES: what the container may use
	tell "[ \"\$(cat /sys/fs/cgroup/memory.max)\" = $1 ] && echo limit $1"
	grep -q "^limit $1$" "$work/said"
}
guest_has() { # LEAST MOST, in MiB, within some minutes
	local now
	for _ in $(seq 300); do
		now=$(guest_mib)
		[ "$now" -ge "$1" ] && [ "$now" -le "$2" ] && return 0
		sleep 0.5
	done
	echo "the guest has $now MiB"
	return 1
}
start -m 256m --memory-max 1g --name growing
check "256 MiB to begin with" guest_has 256 310
check "it starts with this limit" limit_is 268435456
expect_output "more is added" growing katavm update -m 700m growing
check "the guest has it" guest_has 700 900
check "the container may use it" limit_is 734003200
check "ps tells of it" sh -c 'katavm ps --no-trunc | grep -q " 700 MiB .*growing"'
tell 'dd if=/dev/zero bs=500M count=1 2>/dev/null | wc -c'
check "it does use it" grep -qx 524288000 "$work/said"
check "a second time" katavm update -m 1g growing
check "the guest has that, too" guest_has 1024 1300
expect_failure "more than --memory-max" 1 "at most" katavm update -m 2g growing
check "and less again" katavm update -m 300m growing
check "the container may use no more" limit_is 314572800
check "what was added goes away" guest_has 256 420
check "less than at the beginning" katavm update -m 100m growing
# the balloon's pages are not the guest's any more
ballooned() {
	for _ in $(seq 300); do
		tell "awk '/^MemAvailable:/ { print \"available \" int(\$2 / 1024) }' /proc/meminfo"
		[ "$(sed -n 's/^available //p' "$work/said" | tail -n 1)" -le 150 ] && return 0
		sleep 0.5
	done
	return 1
}
check "the balloon takes the rest" ballooned
tell 'dd if=/dev/zero bs=60M count=1 2>/dev/null | sleep 10000 &'
holds() { tell "[ \$(cat /sys/fs/cgroup/memory.current) -gt 60000000 ] && echo it holds" && grep -q '^it holds$' "$work/said"; }
for _ in $(seq 300); do holds && break; sleep 0.2; done
expect_failure "less than it uses is refused" 1 "uses [0-9]+ MiB" katavm update -m 30m growing
check "and changes nothing" limit_is 104857600
tell 'killall sleep; wait' # until its memory is free
expect_failure "nobody of that name" 1 "no container" katavm update -m 1g nobody
expect_failure "nothing to change" 125 "--memory" katavm update growing
expect_failure "no size" 125 memory katavm update -m much growing
check "the container is well" tell true
check "and ends, too" end

# With a share, memory is known to the share's server, too; what is added has to be.
shared_mib() { # of the files that are the guest's memory
	local fd blocks=0
	for fd in "/proc/$vmm/fd"/*; do
		case $(readlink "$fd") in
		/memfd:guest-ram*) blocks=$((blocks + $(stat -L -c %b "$fd"))) ;;
		esac
	done
	echo $((blocks / 2048))
}
mkdir "$work/share"
dd if=/dev/urandom of="$work/share/file" bs=1M count=48 status=none
start -m 256m --memory-max 1g --name sharing -v "$work/share:/mnt"
check "a container with a share has a balloon" attached
check "it gets more" katavm update -m 700m sharing
check "its guest has it" guest_has 700 900
tell 'dd if=/dev/zero bs=450M count=1 2>/dev/null | wc -c'
check "and uses it" grep -qx 471859200 "$work/said"
tell 'md5sum </mnt/file; cp /mnt/file /mnt/copy'
check "what it reads of the share is right" grep -q "^$(md5sum <"$work/share/file" | cut -d ' ' -f 1) " "$work/said"
check "and what it writes" cmp "$work/share/file" "$work/share/copy"
tell 'dd if=/dev/zero bs=450M count=1 2>/dev/null | sleep 10000 &'
peak=0
for _ in $(seq 3000); do
	peak=$(shared_mib)
	[ "$peak" -gt 450 ] && break
	sleep 0.1
done
if [ "$peak" -gt 450 ]; then pass "it is memory of the host's"; else fail "it is memory of the host's" <<<"$peak MiB"; fi
tell 'killall sleep; wait' # until its memory is free
check "and less again, with a share" katavm update -m 256m sharing
check "what was added goes away again" guest_has 200 420
fell() {
	for _ in $(seq 3000); do
		now=$(shared_mib)
		[ "$now" -lt 400 ] && return 0
		sleep 0.1
	done
	echo "$now MiB of $peak"
	return 1
}
check "and is the host's" fell
tell 'cmp /mnt/file /mnt/copy && echo same'
check "the share is as it was" grep -qx same "$work/said"
check "and it ends, too" end
