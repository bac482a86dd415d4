#!/bin/sh
# make_scratch.sh MKE2FS PACK SIZE OUT: an ext4 of SIZE with one empty folder "c" (agent/rootfs.c), packed (about 50 KiB).
# No journal and no checksums, since the disk never outlives its VM; where possible no copies of the superblock and all
# metadata in one place at the front, so that there is little to copy for each container. The fixed ids make the
# same file every time.
set -eu
id=6b617461-766d-4b41-8156-4d00000000
features=^has_journal,^metadata_csum,uninit_bg extended=
if [ "$3" = 10G ]; then # one that never grows: the kernel grows no sparse_super2
	features=$features,sparse_super2,^resize_inode
	extended=num_backup_sb=0,packed_meta_blocks=1,
fi
disk=$4.disk
trap 'rm -rf "$disk" "$disk.tree"' EXIT
rm -rf "$disk" "$disk.tree"
mkdir -p "$disk.tree/c"
chmod 755 "$disk.tree" "$disk.tree/c"
truncate -s "$3" "$disk"
"$1" -q -F -t ext4 -b 4096 -m 0 -U "${id}00" -O "$features" \
	-E "${extended}root_owner=0:0,hash_seed=${id}01" -d "$disk.tree" "$disk"
"$2" "$disk" "$4"
