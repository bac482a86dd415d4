#!/bin/bash
# timeout: 900
# Memory that a container does not use any more is the host's again.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small

rss_kib() { # memory of the VMM's own, which the guest's is
	awk '/^RssAnon:/ { print $2 }' "/proc/$vmm/status"
}
said() { # LINE: within ten minutes
	for _ in $(seq 6000); do
		grep -qxF -- "$1" "$work/said" 2>/dev/null && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
start() { # OPTION... : a container that does what it is told on $told; leaves $pid and $vmm
	rm -f "$work/said" "$work/told"
	mkfifo "$work/told"
	# shellcheck disable=SC2016
	katavm run -q -i --timeout 600 "$@" "$image" sh -c \
		'echo ready; while read -r line; do eval "$line"; echo "done: $line"; done' <"$work/told" >"$work/said" 2>"$work/errors" &
	pid=$!
	exec 9>"$work/told"
	said ready
	vmm=$(pgrep -x -P "$pid" katavm-vmm)
}
tell() { # COMMAND, and waits for its end
	echo "$1" >&9
	said "done: $1"
}
end() {
	exec 9>&-
	wait "$pid"
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
