#!/bin/bash
# timeout: 600
# A layer's EROFS, mounted by a kernel, against what others make of the same tar: tar(1) on ext4, umoci for whole
# images. Then tars that are hostile, and those that are only strange.
# shellcheck disable=SC2016 # what other shells are given
. "$(dirname "$0")/../lib.sh"
mount -t tmpfs -o size=1200m layers "$work"
cd "$work" || exit 1
clean() {
	cd /
	awk -v top="$work/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount -l
	umount -l "$work"
}
trap 'status=$?; clean; (exit $status); finish' EXIT
modprobe -aq erofs loop overlay
tests=$checkout/tests/integration

mkdir ext4 mounts
truncate -s 20G disk
mke2fs -q -t ext4 -I 256 -E lazy_itable_init=1,nodiscard disk
mount -o loop disk ext4
mkdir ext4/{tree,tar,umoci}

# Imports the image in layout $1 and leaves its EROFS files in $layers, bottom first.
import() { # LAYOUT
	layers=()
	observe katavm --root "$work/store" pull -q "oci:$1:t"
	[ "$status" = 0 ] || return
	local hex
	for hex in $(katavm --root "$work/store" inspect "$output" |
		sed -n '/StoredLayers/,/]/s/.*"sha256:\([0-9a-f]*\)".*/\1/p'); do
		layers+=("store/layers/$hex.erofs")
	done
}
mount_layer() { # FILE FOLDER
	mkdir -p "$2"
	mount -t erofs -o loop,ro "$1" "$2"
}
declare -A checked
# What was imported last, read by the checker of erofs-utils.
sound() { # NAME
	local layer
	for layer in "${layers[@]}"; do
		[ -z "${checked[$layer]:-}" ] || continue
		checked[$layer]=yes
		observe fsck.erofs "$layer"
		if [ "$status" != 0 ] || grep -qiE '<[EW]>|corrupt' <<<"$errors$output"; then break; fi
		status=0
	done
	if [ ${#layers[@]} -gt 0 ] && [ "$status" = 0 ]; then pass "fsck.erofs: $1"; else seen | fail "fsck.erofs: $1"; fi
}
compare() { (IFS=$'\t'; echo "$*") >>comparisons; } # later, by one program: NAME EXPECTED SEEN [WORD...]

# One tar: the layer's EROFS and what tar(1) unpacks are the same.
compare_tar() { # NAME TAR [WORD...]
	mkdir -p "ext4/tar/$1"
	tar -C "ext4/tar/$1" --delay-directory-restore --numeric-owner --xattrs --xattrs-include='*' -xpf "$2" 2>/dev/null
	import "layout/$1"
	sound "$1"
	mount_layer "${layers[0]}" "mounts/$1"
	compare "as tar unpacks it: $1" "ext4/tar/$1" "mounts/$1" "${@:3}"
}

# A tree with everything that a disk can have.
cd ext4/tree || exit 1
python3 - <<-'END'
	import os, stat, struct
	for folder, mode in ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o2755), ("etc", 0o700), ("empty", 0o755), (
	        "n" * 120, 0o755), ("n" * 120 + "/" + "m" * 200, 0o755):
	    os.mkdir(folder)
	    os.chmod(folder, mode)
	for size in 0, 1, 4031, 4032, 4096, 65535, 65536, 65537, 3000001:
	    with open("usr/size-%d" % size, "wb") as file:
	        file.write((b"%d " % size * size)[:size])
	open("usr/bin/su", "w").write("setuid")
	os.chmod("usr/bin/su", 0o6755)
	for name in "usr/bin/sudo", "etc/su":
	    os.link("usr/bin/su", name)
	for name, target in ("usr/bin/doas", "su"), ("abs", "/usr/bin/su"), ("dangling", "no/where"):
	    os.symlink(target, name)
	os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
	os.mknod("loop0", stat.S_IFBLK | 0o660, os.makedev(7, 0))
	os.mknod("many", stat.S_IFCHR | 0o600, os.makedev(259, 70000))
	os.mkfifo("pipe")
	os.chown("usr/size-1", 1000, 50)
	os.chown("usr/bin/doas", 65534, 7, follow_symlinks=False)
	os.chmod("usr/size-4096", 0)
	os.setxattr("usr/bin/su", "user.comment", b"a\0b")
	os.setxattr("etc", "user.folder", b"yes")
	os.setxattr("usr/size-65536", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
	os.utime("usr/size-1", ns=(1, 1234567890123456789))
	os.utime("abs", ns=(1, 987654321987654321), follow_symlinks=False)
	with open("sparse", "wb") as file:
	    for at in (0, 70000, 5 << 20, 9 << 30, (9 << 30) + 123456):
	        file.seek(at)
	        file.write(b"data at %d" % at)
	    file.truncate(10 << 30)
	with open("hole", "wb") as file:
	    file.truncate(4 << 20)
	os.utime("empty", ns=(1, -1500000000))
	os.utime("usr", ns=(1, 1))
END
cd "$work" || exit 1
pack() { tar -C ext4/tree --numeric-owner --sparse "$@"; }
pack --xattrs --xattrs-include='*' --format=posix -cf posix.tar .
pack --format=posix --sparse-version=0.1 -cf posix-0.1.tar sparse hole
pack --format=posix --sparse-version=0.0 -cf posix-0.0.tar sparse hole
pack --format=gnu -cf gnu.tar .
tar -C ext4/tree --numeric-owner --format=ustar --exclude=sparse --exclude='nnn*' --exclude=empty -cf ustar.tar .
python3 "$tests/layer_images.py" layout posix=posix.tar posix-0.0=posix-0.0.tar posix-0.1=posix-0.1.tar \
	gnu=gnu.tar ustar=ustar.tar
for name in posix gnu ustar; do compare_tar "$name" "$name.tar"; done
# No tar has the root: its time is nobody's.
for name in posix-0.0 posix-0.1; do compare_tar "$name" "$name.tar" no-folder-times; done
compare "and so as the tree was" ext4/tree mounts/posix
compare_tar special layout/special/0.tar
compare_tar many layout/many/0.tar

# Whole images: layers over each other, as a guest mounts them, against umoci.
for name in whiteouts implied deep root-opaque root-opaque-top deep-opaque; do
	umoci unpack --image "layout/$name:t" "ext4/umoci/$name" >/dev/null 2>&1
	import "layout/$name"
	sound "$name"
	lower='' i=0
	for layer in "${layers[@]}"; do
		mount_layer "$layer" "mounts/$name.$i"
		lower=mounts/$name.$i${lower:+:$lower}
		i=$((i + 1))
	done
	mkdir "mounts/$name" mounts/nothing 2>/dev/null
	mount -t overlay -o "ro,lowerdir=mounts/nothing:$lower" overlay "mounts/$name"
	compare "layers over each other as umoci unpacks them: $name" "ext4/umoci/$name/rootfs" "mounts/$name" no-links \
		no-folder-times drop=user. drop=trusted.
	[ "$name" != implied ] || expect_output "a folder that a path leads through is the one below" "1777 700 5 750 7 755 8" \
		sh -c 'cd "$0" && echo $(stat -c %a tmp) $(stat -c "%a %u" home home/a) $(stat -c "%a %g" var)' mounts/implied
done
expect_output "three layers are one for that, the one above them its own" 2 sh -c '
	katavm --root "$0/store" pull -q oci:layout/implied:t | xargs katavm --root "$0/store" inspect |
		sed -n "/StoredLayers/,/]/p" | grep -c sha256:' "$work"
python3 "$tests/same_tree.py" <comparisons >compared || failures=$((failures + 1))
cat compared

# Hostile tars: refused, with a sentence that names layer and file, and nothing of them is visible.
refused() { # LAYOUT REGEX
	observe katavm --root "$work/hostile" pull -q "oci:layout/$1:t"
	if [ "$status" = 1 ] && grep -qE -- "^katavm: layout/$1: layer 1: $2" <<<"$errors"; then pass "refused: $1"; else
		seen | fail "refused: $1"; fi
}
while IFS=' ' read -r name regex; do refused "$name" "$regex"; done <<-'END'
	dotdot a/\.\./\.\./\.\./etc/passwd: .*is \.\.
	dotdot-link b: hard link to \.\./\.\./etc/passwd
	symlink-parent etc/passwd: its name leads through something that is no folder
	symlink-up up/tmp/x: its name leads through
	link-out shadow: hard link to etc/shadow, which this layer does not have
	link-through shadow: hard link to d/shadow
	link-folder e: hard link to the folder d
	root-file \.: the root is not a folder
	whiteout-up a/\.wh\.\.\.: whiteout of nothing
	long-name n+: .*too long
	unknown-type entry of unknown type 0x5a
	bad-checksum not a tar
	not-a-tar the tar ends too early
	cut a: the tar ends too early
	huge-size bad size
	header-bomb extended header of .* the limit is
END
expect_output "nothing of them is an image" "" katavm --root "$work/hostile" images -q
expect_output "and nothing is left" "" find "$work"/hostile/{tmp,refs,layers,images} -type f

# Strange ones: what they say stays inside the image.
import layout/contained
mount_layer "${layers[0]}" mounts/contained
expect_output "an absolute name is inside" inside cat mounts/contained/etc/absolute
expect_output "a link keeps what it says" ../../../etc/passwd readlink mounts/contained/up-link
expect_output "dots and slashes in a name mean nothing" plain cat mounts/contained/a/b/c
expect_output "the last entry of a name counts" 22 cat mounts/contained/bomb
expect_output "a file that says it has 8 TiB has them" "$((8 << 40)) tail" \
	sh -c 'echo $(stat -c %s mounts/contained/8tib) $(tail -c 4 mounts/contained/8tib)'
expect_status "and takes less than 40 MiB" 0 sh -c '[ $(du -k "$0" | cut -f 1) -lt 40000 ]' "${layers[0]}"
expect_output "words to overlayfs are left out" "" python3 -c 'import os
for name in "ov", "red": print(*os.listxattr("mounts/contained/" + name), end="")'
