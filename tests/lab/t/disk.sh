#!/bin/bash
# timeout: 900
# Disks of a running container: added, used, resized, limited and removed again.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../told.sh"
cd "$work" || exit 1

answers() { # NAME TEXT COMMAND: the command in the container says exactly this
	tell "$3"
	if [ "$output" = "$2" ]; then pass "$1"; else
		printf 'wanted "%s", it said "%s"\n' "$2" "$output" | fail "$1"
	fi
}

truncate -s 8M data
truncate -s 1M other
truncate -s 1000 odd
printf 'of the host' | dd of=data conv=notrunc status=none
printf 'read me' | dd of=other conv=notrunc status=none

start --name box --disk-slots 2
expect_match "only the writable layer at first" '^scratch +10240 MiB +rw +/' katavm disk ls box
expect_failure "no such file" 1 'absent.*ENOENT|absent.*[Nn]o such file' katavm disk add box "$work/absent"
expect_failure "not of whole sectors" 1 '1000 bytes, no multiple of 512' katavm disk add box odd
expect_failure "a folder" 1 'is a folder' katavm disk add box "$work"
expect_failure "a device that is no disk" 1 'neither a file nor a block device' katavm disk add box /dev/null
expect_failure "a name that is none" 1 'letters, digits' katavm disk add --name 'a/b' box data
expect_failure "a name that is taken" 1 'there is one of this name' katavm disk add --name scratch box data
expect_failure "a node that is no path" 125 'absolute path' katavm disk add --device data box data
expect_failure "a limit that is none" 125 'iops and bps' katavm disk add --limit speed=1 box data
expect_failure "a container that is none" 1 'none' katavm disk add none data

expect_output "a disk is added" "disk1 /dev/vdc" katavm disk add box data
answers "and has its content" "of the host" 'head -c 11 /dev/vdc'
answers "and its size" "8388608" 'cat /dev/vdc | wc -c'
tell 'printf "of the guest" | dd of=/dev/vdc bs=1M seek=1 conv=fsync 2>/dev/null'
expect_output "what is written is in the file" "of the guest" sh -c 'dd if=data bs=1M skip=1 2>/dev/null | head -c 12'
expect_failure "it is in use" 1 'in use' katavm disk add box data
check "another, with a name and a node" katavm disk add --name more --device /dev/more --read-only box other
answers "it is there" "read me" 'head -c 7 /dev/more'
answers "and read-only" "refused" 'echo x 2>/dev/null >/dev/more || echo refused'
expect_failure "there is no third slot" 1 'all 2 of its --disk-slots' katavm disk add box odd
expect_match "they are listed" "^more +1 MiB +ro +/dev/more +$work/other" katavm disk ls box
expect_output "by name" "scratch disk1 more" sh -c 'katavm disk ls -q box | xargs'
expect_match "as JSON" '"name":"disk1","bytes":8388608,.*"path":"/dev/vdc"' katavm disk ls --format json box

expect_output "a disk grows" 16777216 katavm disk resize box disk1 16m
answers "in the container, too" 16777216 'cat /dev/vdc | wc -c'
truncate -s 20M data
expect_output "one that has grown is looked at" 20971520 katavm disk resize box disk1
answers "and seen" 20971520 'cat /dev/vdc | wc -c'
expect_failure "a disk does not shrink" 1 'only grow' katavm disk resize box disk1 1m
expect_failure "nor one that is read-only grow" 1 'read-only' katavm disk resize box more 2m
expect_failure "sizes are sizes" 125 'such as 512m' katavm disk resize box disk1 large
expect_failure "a disk that is none" 1 'no disk "scratch" was added' katavm disk resize box scratch 20g

check "a disk is removed" katavm disk rm box disk1
answers "its node, too" "gone" '[ -e /dev/vdc ] || echo gone'
answers "the other works on" "read me" 'head -c 7 /dev/more'
expect_failure "twice it is none" 1 'no disk "disk1"' katavm disk rm box disk1
expect_failure "the writable layer stays" 1 'no disk "scratch"' katavm disk rm box scratch
expect_output "the slot is free again" "disk1 /dev/again" katavm disk add --device /dev/again --limit iops=20:1 box data
# 64 requests of which 20 go each second; nobody measures how much longer than that they take
tell 'from=$(cut -d. -f1 /proc/uptime); dd if=/dev/again of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null; echo $(($(cut -d. -f1 /proc/uptime) - from))'
if [ "$output" -ge 2 ]; then pass "its limit holds"; else echo "64 requests took $output s" | fail "its limit holds"; fi
expect_failure "nothing is put over a file" 1 'there is a file of this name' \
	sh -c 'katavm disk rm box more >/dev/null && katavm disk add --device /etc/passwd box other'
answers "which stays" "root" 'head -c 4 /etc/passwd'
check "and what was half there is gone" katavm disk add --name more box other
check "which is removed for another" katavm disk rm box more
expect_output "what the guest says of its node moves no cursor" 'disk2 /dev/?[2Jx' katavm disk add --device $'/dev/\x1b[2Jx' box other
expect_match "nor in the list" '^disk2 .* /dev/\?\[2Jx ' katavm disk ls box
check "the container ends" end

start --name box
expect_failure "without slots" 1 'without --disk-slots' katavm disk add box data
check "it ends, too" end

mke2fs -q -t ext4 data 16M
start --name box --disk-slots 1 --privileged
expect_output "a disk with a file system" "disk1 /dev/vdc" katavm disk add box data
tell 'mkdir -p /mnt; mount -t ext4 /dev/vdc /mnt && echo "in it" >/mnt/file; sync'
expect_failure "is not removed while it is mounted" 1 'is mounted' katavm disk rm box disk1
answers "and stays usable" "in it" 'cat /mnt/file'
tell 'umount /mnt'
check "but after" katavm disk rm box disk1
expect_match "the file is in it" 'in it' debugfs -R 'cat file' data
check "it is added again" katavm disk add box data
tell 'mount -t ext4 /dev/vdc /mnt'
check "or when that is forced" katavm disk rm --force box disk1
check "the container ends then, too" end

mkdir mnt
loop=$(losetup --find --show data)
start --name box --disk-slots 1
expect_output "a block device is added" "disk1 /dev/vdc" katavm disk add box "$loop"
answers "and read" "262144" 'head -c 262144 /dev/vdc | wc -c'
expect_failure "it is the container's alone" 32 'already mounted|busy' mount "$loop" mnt
check "and free as soon as it is removed" sh -c "katavm disk rm box disk1 && mount $loop mnt"
umount mnt
losetup --detach "$loop"
check "that container ends, too" end

eventually() { # COMMAND... : it ends well, within some minutes
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.3
	done
	return 1
}
has_disks() { # NAMES
	[ "$(katavm disk ls -q box | xargs)" = "$1" ]
}
truncate -s 1M third
start --name box --disk-slots 3
check "a disk, and then a VMM that stands still" katavm disk add box data
kill -STOP "$vmm"
expect_failure "cannot resize it" 1 'does not answer' katavm disk resize box disk1 32m
expect_failure "nor is anything else done about it" 1 'stands still' katavm disk rm box disk1
kill -CONT "$vmm"
answers "when it goes on, so does the container" "here" 'echo here'
check "and the disk may be asked about again" eventually katavm disk resize box disk1
answers "it is as large as was wanted" 33554432 'cat /dev/vdc | wc -c'
kill -STOP "$vmm"
expect_failure "nor can one be added" 1 'does not answer' katavm disk add --name late box other
expect_failure "whose file is in use until it is known whether it was" 1 'in use' katavm disk add box other
kill -CONT "$vmm"
answers "the container goes on" "here" 'echo here'
check "the disk that came late is taken out again" eventually has_disks "scratch disk1"
check "its file is free" katavm disk add --name late --device /dev/late box other
check "and its slot" katavm disk add box third
answers "for its next use" "read me" 'head -c 7 /dev/late'
check "the container ends in the end" end

expect_failure "too many slots" 125 'disk-slots is a number up to 8' katavm run --disk-slots 9 "$image" true
expect_failure "a limit of the writable layer that is none" 125 'bps is .* a size .*not "0"' katavm run --disk 1g,bps=0 "$image" true
expect_failure "limits of no disk" 125 'no disk' katavm run --disk 0,iops=5 "$image" true
observe katavm run -q --timeout 600 --disk 1g,iops=20:1 "$image" sh -c '
	from=$(cut -d. -f1 /proc/uptime); dd if=/dev/zero of=/file bs=4k count=64 oflag=direct 2>/dev/null; echo $(($(cut -d. -f1 /proc/uptime) - from))'
if [ "$status" = 0 ] && [ "$output" -ge 2 ]; then pass "the writable layer has its limit"; else
	seen | fail "the writable layer has its limit"
fi
