#!/bin/bash
# Disks: what is flushed is there after the VMM was killed, what goes wrong with a file is an I/O error of the guest and no more,
# disks change their size, come and go while the VM runs.
# timeout: 1500
. "$(dirname "$0")/../lib.sh"
kernel=${KATAVM_TEST_KERNEL:-$(dirname "$(readlink -f "$(command -v katavm)")")/../lib/katavm/vmlinux}
mkdir -p "$work/root"/{bin,proc,sys,dev,mnt}
cp /bin/busybox "$work/root/bin/"
cat >"$work/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
line() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
bind=/sys/bus/platform/drivers/virtio-mmio
case $(line test) in
sync) # numbered blocks, each told when it is on the disk
	i=0
	while [ $i -lt 2000 ]; do
		printf '%08d' $i | dd of=/dev/vda bs=4096 seek=$i conv=notrunc,fsync 2>/dev/null && echo "synced $i"
		i=$((i + 1))
	done ;;
write) # all of the disk, to see where it ends
	dd if=/dev/zero of=/dev/vda bs=65536 oflag=direct 2>&1 | sed 's/^/write: /' ;;
read) # waits until the host has cut the file
	dd if=/dev/vda of=/dev/null bs=65536 iflag=direct 2>&1 | sed 's/^/before: /'
	echo "read it"
	while dd if=/dev/vda of=/dev/null bs=4096 skip=255 count=1 iflag=direct 2>/dev/null; do sleep 0.2; done
	dd if=/dev/vda of=/dev/null bs=4096 count=1 iflag=direct 2>&1 | sed 's/^/start: /'
	dd if=/dev/vda of=/dev/null bs=4096 skip=255 count=1 iflag=direct 2>&1 | sed 's/^/end: /' ;;
full)
	mount -t ext4 /dev/vda /mnt || echo "cannot mount"
	dd if=/dev/zero of=/mnt/file bs=65536 2>&1 | sed 's/^/file: /' ;;
erofs)
	mount -t erofs -o ro /dev/vda /mnt && cat /mnt/text
	while [ -b /dev/vda ] && ! dd if=/dev/vdb bs=5 count=1 iflag=skip_bytes 2>/dev/null | grep -q leave; do
		echo 3 >/proc/sys/vm/drop_caches
		sleep 0.3
	done ;;
resize)
	echo "size $(cat /sys/block/vda/size)"
	while [ "$(cat /sys/block/vda/size)" = 2048 ]; do sleep 0.2; done
	echo "size $(cat /sys/block/vda/size)"
	echo there | dd of=/dev/vda bs=512 seek=4000 conv=fsync 2>/dev/null ;;
plug) # the first disk tells how many the host has taken away
	echo "disks $(ls /sys/block | grep -c vd)"
	for round in 1 2; do
		while [ ! -b /dev/vdb ]; do
			for slot in "$bind/../../devices"/virtio-mmio.*; do
				[ -e "$slot/driver" ] || echo "${slot##*/}" 2>/dev/null >"$bind/bind"
			done 2>/dev/null
			sleep 0.2
		done
		echo "found $(cat /sys/block/vdb/serial): $(dd if=/dev/vdb bs=5 count=1 2>/dev/null)"
		echo "kept" | dd of=/dev/vdb bs=512 seek=1 conv=fsync 2>/dev/null
		until dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | grep -q "leave $round"; do sleep 0.2; done
		slot=$(readlink -f /sys/block/vdb/device/..)
		echo "${slot##*/}" >"$bind/unbind"
		echo "let go $round"
		until dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | grep -q "taken $round"; do sleep 0.2; done
	done ;;
blocks)
	echo "logical $(cat /sys/block/vda/queue/logical_block_size)"
	yes pattern | dd of=/dev/vda bs=65536 count=16 iflag=fullblock conv=fsync 2>/dev/null
	dd if=/dev/vda bs=4096 count=20 2>/dev/null | md5sum
	echo "done with it"
	sleep 100 ;;
esac
sync
poweroff -f
END
chmod 755 "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initramfs.cpio"
folder=/var/lib/katavm/test-blk # a file system with O_DIRECT
mkdir -p $folder

# start NAME TEST KEYS: a VM in the background, its output in NAME.log, its control socket NAME.sock.
start() {
	rm -f "$work/$1.sock"
	printf '{"kernel": "%s", "initramfs": "%s", "control": "%s", "cmdline": "quiet test=%s", %s}\n' "$kernel" \
		"$work/initramfs.cpio" "$work/$1.sock" "$2" "$3" >"$work/$1.json"
	katavm vmm --config "$work/$1.json" </dev/null >"$work/$1.log" 2>&1 &
	vm=$!
}
await() { # NAME REGEX: what the guest says; ends with its VM
	until grep -qE "$2" "$work/$1.log"; do
		kill -0 "$vm" 2>/dev/null || { grep -qE "$2" "$work/$1.log"; return; }
		sleep 0.1
	done
}
told() { # NAME LABEL REGEX: the guest has said so
	if await "$1" "$3"; then pass "$2"; else { echo "wanted $3"; tail -n 20 "$work/$1.log"; } | fail "$2"; fi
}
ask() { # NAME COMMAND: what its control socket answers
	python3 - "$work/$1.sock" "$2" <<-'END'
		import socket, sys
		peer = socket.socket(socket.AF_UNIX)
		peer.connect(sys.argv[1])
		peer.sendall(sys.argv[2].encode() + b'\n')
		print(peer.makefile().read(), end='')
	END
}
disk() { printf '"disks": [{"path": "%s", "serial": "disk"%s}]' "$1" "${2:-}"; }

# ---- what is flushed stays ----
truncate -s 16M $folder/sync
for round in 1 2; do
	: >$folder/sync
	truncate -s 16M $folder/sync
	start sync sync "$(disk $folder/sync "$([ $round = 1 ] || echo ', "direct": true')")"
	await sync "synced $((round * 17))"
	vmm=$(pgrep -P "$vm")
	kill -KILL "$vmm"
	wait "$vm" 2>/dev/null
	last=$(tr -d '\r' <"$work/sync.log" | sed -n 's/^synced \([0-9]*\)$/\1/p' | tail -n 1)
	bad=0
	for i in $(seq 0 "$last"); do
		[ "$(dd if=$folder/sync bs=4096 skip="$i" count=1 status=none | head -c 8)" = "$(printf '%08d' "$i")" ] || bad=$((bad + 1))
	done
	if [ "${last:-0}" -ge $((round * 17)) ] && [ $bad = 0 ]; then
		pass "what was synced is in the file after kill -9 ($round)"
	else
		{ echo "last $last, $bad missing"; tail -n 3 "$work/sync.log"; } | fail "what was synced is in the file after kill -9 ($round)"
	fi
done

# ---- files that go wrong ----
mkdir "$work/small"
mount -t tmpfs -o size=4m small "$work/small"
truncate -s 64M "$work/small/disk"
start full write "$(disk "$work/small/disk")"
told full "a full host is an I/O error" "write: .*(I/O|Input/output) error"
told full "and the VM lives on" "the guest powered off"
wait "$vm"
if [ "$(du -k "$work/small/disk" | cut -f 1)" -le 4096 ] && [ "$(stat -c %s "$work/small/disk")" = 67108864 ]; then
	pass "the file is as large as before"
else
	du -k "$work/small/disk" | fail "the file is as large as before"
fi
umount "$work/small"

truncate -s 8M $folder/end
start end write "$(disk $folder/end)"
told end "a guest cannot write past its disk" "write: .*No space left"
wait "$vm"
expect_output "and its file does not grow" 8388608 stat -c %s $folder/end

truncate -s 24M $folder/scratch
mke2fs -q -t ext4 -O '^has_journal' $folder/scratch
start scratch full "$(disk $folder/scratch)"
told scratch "a full file system in the guest says so" "file: .*No space left"
wait "$vm"
expect_output "and takes no more of the host than its size" yes \
	sh -c "[ \$(du -k $folder/scratch | cut -f 1) -le 24576 ] && echo yes"

truncate -s 1M $folder/cut
start cut read "$(disk $folder/cut)"
await cut "read it"
truncate -s 8192 $folder/cut
told cut "a file that is cut under the VM" "end: .*(I/O|Input/output) error"
told cut "can be read as far as it goes" "start: 1.0 records in"
told cut "and the VM lives on" "the guest powered off"
wait "$vm"

# ---- one layer, several VMs ----
mkdir "$work/layer"
echo "of the layer" >"$work/layer/text"
mkfs.erofs -z none $folder/layer "$work/layer" >/dev/null 2>&1 || mkfs.erofs $folder/layer "$work/layer" >/dev/null
truncate -s 4096 $folder/leave
sum=$(md5sum <$folder/layer)
vms=()
for name in one two three; do
	start $name erofs "\"disks\": [{\"path\": \"$folder/layer\", \"readonly\": true}, {\"path\": \"$folder/leave\", \"readonly\": true}]"
	vms+=("$vm")
done
for name in one two three; do told $name "a layer shared by three VMs ($name)" "of the layer"; done
printf leave | dd of=$folder/leave conv=notrunc status=none
wait "${vms[@]}"
expect_output "is what it was" "$sum" sh -c "md5sum <$folder/layer"

# ---- size ----
truncate -s 1M $folder/size
start size resize "$(disk $folder/size)"
await size "size 2048"
truncate -s 4M $folder/size
expect_output "a disk is resized" "ok 4194304" ask size "resize disk"
told size "and the guest sees it" "size 8192"
wait "$vm"
expect_output "and writes there" there sh -c "dd if=$folder/size bs=512 skip=4000 count=1 status=none | head -c 5"

# ---- coming and going ----
printf first >$folder/first
printf other >$folder/other
truncate -s 1M $folder/first $folder/other
signal() { printf '%-20s' "$1" | dd of=$folder/signal conv=notrunc status=none; }
truncate -s 4096 $folder/signal
start plug plug "$(disk $folder/signal ', "readonly": true'), \"spare_slots\": 2"
await plug "disks 1"
expect_match "an unknown command is refused" "error: the commands are" ask plug "eject x"
expect_match "a disk that is not there cannot be removed" "error: disk x: there is none" ask plug "remove x"
expect_match "nor one that was there from the start" "error: disk disk: was there" ask plug "remove disk"
expect_match "a disk is added" "^ok [0-9]+$" ask plug "add a $folder/first"
expect_match "a name is there once" "error: disk a: there is one" ask plug "add a $folder/other"
told plug "the guest finds it" "found a: first"
expect_match "it is not removed while it is used" "error: disk a: the guest still uses it" ask plug "remove a"
signal "leave 1"
told plug "the guest lets go" "let go 1"
expect_output "then it is removed" "ok 0" ask plug "remove a"
expect_match "another takes its place" "^ok [0-9]+$" ask plug "add b $folder/other"
signal "taken 1"
told plug "the guest finds that, too" "found b: other"
expect_match "statistics name it" '"device":"virtio-blk","serial":"b"' ask plug stats
signal "leave 2"
told plug "and lets go" "let go 2"
expect_output "and it is removed" "ok 0" ask plug "remove b"
expect_match "an empty slot is a spare one" '"device":"spare"' ask plug stats
signal "taken 2"
told plug "the VM lives on" "the guest powered off"
wait "$vm"
expect_output "both were written" "kept kept" \
	sh -c "for f in first other; do dd if=$folder/\$f bs=512 skip=1 count=1 status=none | head -c 4; echo; done | xargs"
start none plug "$(disk $folder/signal ', "readonly": true'), \"spare_slots\": 1"
await none "disks 1"
expect_match "a slot for one" "^ok" ask none "add a $folder/first"
expect_match "is full with one" "error: disk b: no spare slot is free" ask none "add b $folder/other"
kill "$vm"
wait "$vm" 2>/dev/null

# ---- O_DIRECT, limits, statistics ----
truncate -s 8M $folder/direct
start direct blocks "$(disk $folder/direct ', "direct": true, "rate": {"operations": 2, "operations_burst": 1}')"
told direct "a disk with O_DIRECT has blocks of 4 KiB" "logical 4096"
told direct "and works" "$(yes pattern | head -c 81920 | md5sum | cut -c1-32)"
await direct "done with it"
ask direct stats | sed -n '/"serial":"disk"/p' >"$work/stats"
expect_output "its limit made requests wait, and nothing is left undone" "True True True True" python3 -c "
import json
d = json.load(open('$work/stats'))
q = d['queues'][0]
print(d['delayed'] > 0, q['from_guest'] == 1048576, q['requests'] >= 4,
      q['ring_avail'] == q['next_avail'] == q['next_used'] == q['ring_used'] and q['in_flight'] == 0)"
kill "$vm"
wait "$vm" 2>/dev/null
truncate -s 5000 $folder/odd
start odd blocks "$(disk $folder/odd ', "direct": true')"
told odd "O_DIRECT wants whole blocks" "disk disk: Invalid argument"
wait "$vm" 2>/dev/null
rm -rf $folder
