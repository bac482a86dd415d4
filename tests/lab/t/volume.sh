#!/bin/bash
# timeout: 1800
# Volumes, and all the ways to ask for a mount: as Docker's users write them.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
root=$work/root
volume() { katavm --root "$root" volume "$@"; }
run() { timeout -k 20 700 katavm --root "$root" run --timeout 600 --network none -q "$@"; }

# --- named volumes ---
expect_output "create prints the name" "data" volume create -l a=b data
expect_output "once more is no failure" "data" volume create data
expect_match "inspect" '"a": ?"b"' volume inspect data
expect_failure "inspect of none" 1 'there is no volume "nothing"' volume inspect nothing
expect_failure "a name is not a path" 1 "a volume's name" volume create ../x

expect_output "what is written stays" "" run -v data:/mnt "$image" sh -c 'echo one >/mnt/f; chown 7:8 /mnt/f'
expect_output "and is there for the next" "one 7:8" run -v data:/mnt:ro "$image" sh -c 'echo $(cat /mnt/f) $(stat -c %u:%g /mnt/f)'
expect_match "read-only" 'Read-only' run -v data:/mnt:ro "$image" sh -c 'touch /mnt/x'
expect_match "it is made on first use" ' / ' run -v fresh:/mnt "$image" sh -c 'echo " / $(ls /mnt)"'
expect_match "ls" '^fresh +no ' volume ls
expect_output "a new one begins with what the image has there" "$(run "$image" sh -c 'ls /etc | wc -l')" \
	run -v etc:/etc "$image" sh -c 'ls /etc | wc -l'
run -v etc:/etc "$image" sh -c 'rm -rf /etc/passwd' >/dev/null
expect_output "and only a new one" "gone" run -v etc:/etc "$image" sh -c '[ -e /etc/passwd ] || echo gone'
touch taken
expect_failure "a start that fails" 125 'the id file taken exists' run --cidfile taken -v late:/etc "$image" true
expect_output "leaves it to the next to begin so" "$(run "$image" sh -c 'ls /etc | wc -l')" \
	run -v late:/etc "$image" sh -c 'ls /etc | wc -l'
expect_output "and that only once" "0" sh -c '
	rm -rf "$1/volumes/late/data"/*
	katavm --root "$1" run --timeout 600 --network none -q -v late:/etc "$2" sh -c "ls /etc | wc -l"' - "$root" "$image"
check "nothing of that is left" volume rm late
expect_output "nocopy" "0" run -v empty:/etc/default:nocopy "$image" sh -c 'ls /etc/default | wc -l'
expect_output "two at once see the same" "yes" run -v data:/a -v data:/b "$image" \
	sh -c 'echo x >/a/both; [ "$(cat /b/both)" = x ] && echo yes'

mkfifo hold ready
(run -i -v data:/mnt "$image" sh -c 'echo up; cat' <hold >ready) &
user=$!
exec 7>hold
read -r _ <ready
expect_match "in use" '^data +yes ' volume ls
expect_failure "one in use stays" 1 'volume data: a running container uses it' volume rm data
expect_output "prune leaves it too" "empty etc fresh" sh -c 'katavm --root "$1" volume prune -f | tr "\n" " " | sed "s/ $//"' - "$root"
exec 7>&-
wait "$user"
expect_output "rm" "data" volume rm data
expect_output "none is left" "" volume ls -q
expect_output "nor a file of theirs" "" ls -A "$root/volumes"
expect_failure "rm of none" 1 'there is no volume "data"' volume rm data
check "rm -f of none" volume rm -f data
expect_failure "prune asks" 1 'say --force' volume prune

# --- anonymous ones, --mount, tmpfs ---
expect_output "an anonymous volume is made" "mountpoint" run -v /new/place "$image" \
	sh -c 'echo x >/new/place/f && grep -q " /new/place " /proc/mounts && echo mountpoint'
expect_output "and can be written below a read-only root" "x" run --read-only -v /srv "$image" \
	sh -c 'echo x >/srv/f; cat /srv/f; touch /y 2>/dev/null && echo root can be written; true'
mkdir folder
echo host >folder/file
expect_output "--mount type=bind" "host" run --mount "type=bind,source=$work/folder,target=/mnt" "$image" cat /mnt/file
expect_match "--mount readonly" 'Read-only' run --mount "type=bind,src=$work/folder,dst=/mnt,ro" "$image" touch /mnt/x
expect_failure "--mount of nothing" 125 'share .*/missing: No such file' \
	run --mount "type=bind,source=$work/missing,target=/mnt" "$image" true
expect_output "--mount type=tmpfs" "1024" run --mount type=tmpfs,target=/mnt,tmpfs-size=1m "$image" \
	sh -c 'df -k /mnt | tail -n 1 | tr -s " " | cut -d" " -f2'
expect_output "--mount type=volume" "kept" sh -c '
	katavm --root "$1" run --timeout 600 --network none -q --mount type=volume,source=v1,target=/m "$2" sh -c "echo kept >/m/f"
	cat "$1/volumes/v1/data/f"' - "$root" "$image"
check "-v makes a missing folder" run -v "$work/made/below:/mnt" "$image" touch /mnt/x
check "which is there" test -e "$work/made/below/x"
expect_output "a relative path" "host" run -v ./folder:/mnt "$image" cat /mnt/file
expect_failure "two at one place" 125 'two mounts at the same place' run -v /tmp:/a --tmpfs /a "$image" true
