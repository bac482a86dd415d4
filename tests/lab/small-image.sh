#!/bin/bash
# small-image.sh FOLDER: an OCI layout in FOLDER, tagged "small": busybox, two users, a file that cannot be executed.
set -eu
tree=$1.tree
mkdir -p "$tree"/{bin,etc,tmp,root,var/www,proc,sys,dev}
chmod 1777 "$tree/tmp"
cp /bin/busybox "$tree/bin/"
for name in $(busybox --list); do [ -e "$tree/bin/$name" ] || ln -s busybox "$tree/bin/$name"; done
printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/var/www:/bin/sh\n' >"$tree/etc/passwd"
printf 'root:x:0:\nwww-data:x:33:\nstaff:x:50:www-data\n' >"$tree/etc/group"
echo text >"$tree/etc/motd"
tar -C "$tree" -cf "$1.tar" .
umoci init --layout "$1"
umoci new --image "$1:small"
umoci raw add-layer --image "$1:small" "$1.tar"
umoci config --image "$1:small" --config.cmd /bin/sh --config.cmd -c --config.cmd 'echo of the image' \
	--config.env FROM=image --config.volume /data
rm -rf "$tree" "$1.tar"
