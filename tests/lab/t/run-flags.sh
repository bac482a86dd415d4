#!/bin/bash
# timeout: 3000
# katavm run as Docker's users type it: flags, environment, identity, limits, streams, exit statuses.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
run() { timeout -k 20 700 katavm run --timeout 600 "$@"; } # a slow host is none of katavm's failures

expect_status "128 and the signal's number" 143 run --init "$image" sh -c 'kill -TERM $$; sleep 9'
expect_failure "126: not executable" 126 'ermission denied' run "$image" /etc/motd
expect_output "flags end at the image, and --entrypoint" "-l --rm" run --entrypoint echo "$image" -l --rm

printf 'FILE=one\n# no\n\nBOTH=file\n' >./env
export FROM_HOST=host
observe run -q -e A=1 -e FROM_HOST -e UNSET_HERE -e BOTH=flag --env-file env -w /new/dir -u www-data:staff \
	--group-add 77 -h box --add-host db:10.0.0.9 --dns 9.9.9.9 --read-only --tmpfs /run:size=1m --shm-size 1m \
	--ulimit nofile=77:88 --cpus 1.5 -m 96m --cap-drop ALL --cap-add CHOWN --disk 200m --name one -l a=b \
	--cidfile id --pids-limit 30 --security-opt no-new-privileges --sysctl net.ipv4.ip_forward=1 \
	--rm --network none --platform linux/amd64 --pull missing "$image" sh -c '
	id; pwd; env | sort; hostname; tail -n 1 /etc/hosts; cat /etc/resolv.conf
	touch /x 2>/dev/null || echo root is read-only
	df -k /dev/shm | tail -n 1; ulimit -n; ulimit -Hn; nproc
	cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
	grep -E "CapBnd|NoNew|Seccomp:" /proc/self/status; grep " /run tmpfs rw" /proc/mounts
	grep " /data tmpfs rw" /proc/mounts; echo forward $(cat /proc/sys/net/ipv4/ip_forward)
	echo interfaces $(ls /sys/class/net); echo disk $(df -m / | tail -n 1 | tr -s " " | cut -d" " -f2)'
if [ "$status" = 0 ]; then pass "many flags at once"; else seen | fail "many flags at once"; fi
has() { # NAME REGEX
	if grep -qE -- "$2" <<<"$output"; then pass "$1"; else { echo "wanted $2"; seen; } | fail "$1"; fi
}
has "--user and --group-add" '^uid=33\(www-data\) gid=50\(staff\) groups=.*77'
has "--workdir is made" '^/new/dir$'
has "--env sets" '^A=1$'
has "--env takes the caller's value" '^FROM_HOST=host$'
has "--env-file" '^FILE=one$'
has "--env wins over --env-file" '^BOTH=flag$'
has "the image's environment" '^FROM=image$'
has "HOME is the user's" '^HOME=/var/www$'
if grep -q UNSET_HERE <<<"$output"; then seen | fail "an unset variable stays away"; else pass "an unset variable stays away"; fi
has "--hostname" '^box$'
has "--add-host" '^10.0.0.9.db$'
has "--dns" '^nameserver 9.9.9.9$'
has "--read-only" '^root is read-only$'
has "--tmpfs can be written" '^tmpfs /run tmpfs rw.*size=1024k'
has "a volume of the image can be written" '^tmpfs /data tmpfs rw'
has "--shm-size" 'shm +1024 '
has "--ulimit, soft" '^77$'
has "--ulimit, hard" '^88$'
has "--cpus rounded up" '^2$'
has "--cpus as a limit" '^150000 100000$'
has "--memory" '^100663296$'
has "--pids-limit" '^30$'
has "--cap-drop and --cap-add" '^CapBnd:.0000000000000001$'
has "no-new-privileges" '^NoNewPrivs:.1$'
has "a filter of system calls" '^Seccomp:.2$'
has "--sysctl" '^forward 1$'
has "--network none" '^interfaces lo$'
has "--disk" '^disk 1[5-9][0-9]$'
if [ -z "$errors" ]; then pass "--quiet"; else seen | fail "--quiet"; fi
if [ -z "$(ls /run/katavm/containers)" ]; then pass "--rm"; else find /run/katavm/containers | fail "--rm"; fi
if grep -qE '^[0-9a-f]{64}$' id; then pass "--cidfile"; else fail "--cidfile" <id; fi
expect_failure "an id file that exists" 125 'exists' run --cidfile id "$image" true

expect_output "--disk-direct is around the host's cache" "512 4096" run --disk 64m --disk-direct "$image" \
	sh -c 'cat /sys/block/vd*/queue/logical_block_size | sort -nu | xargs'
expect_output "a full disk is no space left" "dd: error writing '/f': No space left on device" run --disk 32m "$image" \
	sh -c 'dd if=/dev/zero of=/f bs=65536 2>&1 | head -n 1'
expect_failure "--disk-direct wants whole blocks" 125 "whole blocks of 4k" run --disk 67108865 --disk-direct "$image" true
expect_output "--privileged is root of its own kernel" "mounted 000001ffffffffff" run --privileged --disk 0 "$image" \
	sh -c 'mount -t tmpfs x /tmp && echo mounted $(sed -n "s/CapEff:.//p" /proc/self/status)'
expect_failure "out of memory has a status and a line" 137 'ran out of memory' run -m 24m "$image" tail /dev/zero

observe sh -c 'echo data | timeout -k 20 700 katavm run --timeout 600 -i "$0" cat' "$image"
if [ "$output" = data ]; then pass "-i connects stdin"; else seen | fail "-i connects stdin"; fi
observe sh -c 'echo data | timeout -k 20 700 katavm run --timeout 600 "$0" cat' "$image"
if [ "$status$output" = 0 ]; then pass "without -i stdin is empty"; else seen | fail "without -i stdin is empty"; fi
head -c 20000000 /dev/urandom >bytes
observe sh -c 'timeout -k 20 700 katavm run --timeout 600 -i "$0" cat <bytes | cmp - bytes' "$image"
if [ "$status" = 0 ]; then pass "20 MB through cat, all there"; else seen | fail "20 MB through cat, all there"; fi
observe run -q "$image" sh -c 'echo out; echo err >&2'
if [ "$output/$errors" = out/err ]; then pass "stdout and stderr apart"; else seen | fail "stdout and stderr apart"; fi
check "a reader that goes away is no failure of katavm" \
	sh -c 'timeout -k 20 700 katavm run --timeout 600 "$0" sh -c "yes | head -c 3000000; true" | head -n 1 >/dev/null' "$image"
