#!/bin/bash
# runs: machine
# timeout: 600
# The commands about images, and images that are files: oci:, oci-archive:, docker-archive:, load.
# shellcheck disable=SC2016 # what other shells are given
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
export XDG_DATA_HOME=$work/data
root=$work/store
katavm() { command katavm --root "$root" "$@"; }
fresh() { rm -rf "$root"; }
python3 "$checkout/tests/integration/registry_images.py" layouts
copy() { skopeo copy -q "$@" >copied 2>&1 || fail "skopeo copy $*" <copied; }

# Local references, each as others write them.
copy oci:layouts/big:1 oci-archive:big.oci.tar:1
copy oci:layouts/big:1 docker-archive:big.docker.tar:example.com/team/app:v2
copy oci:layouts/implied:1 docker-archive:implied.docker.tar:implied:1
copy oci:layouts/again:1 docker-archive:again.docker.tar:again:1
gzip -k big.docker.tar
zstd -q big.oci.tar
image=$(katavm pull -q oci:layouts/big:1)
if [[ $image =~ ^sha256:[0-9a-f]{64}$ ]]; then pass "pull -q prints the id"; else fail "pull -q prints the id" <<<"$image"; fi
expect_output "oci:DIR without a tag" "$image" katavm pull -q oci:layouts/big
expect_output "oci-archive:FILE" "$image" katavm pull -q oci-archive:big.oci.tar
expect_output "oci-archive:FILE:TAG" "$image" katavm pull -q oci-archive:big.oci.tar:1
expect_output "oci-archive: of zstd" "$image" katavm pull -q oci-archive:big.oci.tar.zst
docker_image=$(katavm pull -q docker-archive:big.docker.tar)
expect_output "docker-archive:FILE:NAME" "$docker_image" katavm pull -q docker-archive:big.docker.tar:example.com/team/app:v2
expect_output "docker-archive: of gzip" "$docker_image" katavm pull -q docker-archive:big.docker.tar.gz
expect_output "the same layers are stored once" 3 sh -c 'ls "$0/layers" | wc -l' "$root"
expect_failure "no such folder" 1 'layouts/none: No such file' katavm pull oci:layouts/none
expect_failure "no such file" 1 'none.tar: No such file' katavm pull docker-archive:none.tar
expect_failure "a folder that is no layout" 1 'is not an OCI image: no index.json' katavm pull oci:layouts
expect_failure "no such tag" 1 'has no image "7"; it has: 1' katavm pull oci:layouts/big:7
expect_failure "no such name" 1 'has no image "other:1"' katavm pull docker-archive:big.docker.tar:other:1
expect_failure "an archive of the other kind" 1 'is not from docker save: no manifest.json' katavm pull docker-archive:big.oci.tar
xz -k big.docker.tar
expect_failure "an archive of xz" 1 'it is compressed with xz, not gzip or zstd' katavm pull docker-archive:big.docker.tar.xz
expect_failure "a file that is no archive" 1 'read the archive: ' katavm pull "oci-archive:$checkout/README.md"
head -c 200000 big.docker.tar >cut.tar
expect_failure "an archive that is cut" 1 'the tar ends too early' katavm pull docker-archive:cut.tar
head -c 200000 big.docker.tar.gz >cut.tar.gz
expect_failure "a compressed one that is cut" 1 'truncated' katavm pull docker-archive:cut.tar.gz
expect_failure "a local image for another platform" 1 'only for: linux/s390x' katavm pull oci:layouts/foreign
expect_match "an index in a layout" '"which": "v7"' sh -c 'command katavm --root "$0" pull -q --platform linux/arm/v7 oci:layouts/multi |
	xargs katavm --root "$0" inspect' "$root"
cp -r layouts/big layouts/flip
blob=$(find layouts/flip/blobs -size +100k | head -n 1)
printf X | dd of="$blob" bs=1 seek=5000 conv=notrunc status=none
fresh
expect_failure "a changed byte in a layout" 1 "$(basename "$blob") is damaged: its content is not its digest" katavm pull oci:layouts/flip
expect_output "and no image is there" "" find "$root"/{refs,images,tmp} -type f
rm "$blob"
ln -s "$checkout/README.md" "$blob"
expect_failure "a link out of a layout is not followed" 1 'read blobs/sha256/' katavm pull oci:layouts/flip

# load, from a file and from a pipe.
fresh
expect_output "load -i" "Loaded image: example.com/team/app:v2" katavm load -q -i big.docker.tar
expect_output "load -i of a pipe" "Loaded image: example.com/team/app:v2" katavm load -q -i <(cat big.docker.tar)
expect_output "load from a pipe" "Loaded image: example.com/team/app:v2" \
	sh -c 'katavm --root "$0" load <big.docker.tar.gz 2>/dev/null' "$root"
expect_output "load -t gives a name" "Loaded image: mine:3" katavm load -q -t mine:3 -i big.oci.tar
expect_match "an OCI archive without a name has its id" '^Loaded image ID: sha256:' katavm load -q -i big.oci.tar
expect_failure "load of nothing" 1 'open none: No such file' katavm load -i none
expect_match "load of a terminal's input" 'give -i FILE' script -qec "katavm --root $root load" /dev/null
expect_failure "a name that cannot be one" 1 'each part of a name is letters' katavm load -t 'a b' -i big.oci.tar

# What docker save writes for two images: one list, the layers of both.
python3 - <<-'END'
	import io, json, tarfile
	entries, files = [], {}
	for name, tag in ("big", "x/one:1"), ("again", "two:2"):
	    index = json.load(open("layouts/%s/index.json" % name))
	    read = lambda digest: open("layouts/%s/blobs/sha256/%s" % (name, digest[7:]), "rb").read()
	    manifest = json.loads(read(index["manifests"][0]["digest"]))
	    parts = [manifest["config"]["digest"]] + [layer["digest"] for layer in manifest["layers"]]
	    files.update({"blobs/sha256/" + digest[7:]: read(digest) for digest in parts})
	    paths = ["blobs/sha256/" + digest[7:] for digest in parts]
	    entries.append({"Config": paths[0], "RepoTags": [tag], "Layers": paths[1:]})
	files["manifest.json"] = json.dumps(entries).encode()
	with tarfile.open("two.tar", "w") as tar:
	    for path, data in files.items():
	        info = tarfile.TarInfo("./" + path)
	        info.size = len(data)
	        tar.addfile(info, io.BytesIO(data))
END
expect_output "every image of docker save" "$(printf 'Loaded image: x/one:1\nLoaded image: two:2')" katavm load -q -i two.tar
expect_failure "of which a reference names one" 1 'has 2 images: say which one' katavm pull docker-archive:two.tar
check "by its name" katavm pull -q docker-archive:two.tar:two:2

fresh
expect_output "layers of an archive that are put together" "Loaded image: implied:1" katavm load -q -i implied.docker.tar
expect_output "are one" 1 sh -c 'katavm --root "$0" inspect implied:1 | sed -n "/StoredLayers/,/]/p" | grep -c sha256:' "$root"

# Images without a name, and more of them than anybody counts by hand.
python3 - <<-'END'
	import copy, io, json, tarfile
	with tarfile.open("two.tar") as tar:
	    files = {member.name: tar.extractfile(member).read() for member in tar}
	first, second = json.loads(files["./manifest.json"])
	def write(name, entries):
	    files["./manifest.json"] = json.dumps(entries).encode()
	    with tarfile.open(name, "w") as tar:
	        for path, data in files.items():
	            info = tarfile.TarInfo(path)
	            info.size = len(data)
	            tar.addfile(info, io.BytesIO(data))
	write("unnamed.tar", [{**first, "RepoTags": None}, second])
	write("seventy.tar", [{**(second if i % 2 else first), "RepoTags": ["many:%d" % i]} for i in range(70)])
	write("too-many.tar", [first] * 1025)
END
fresh
expect_match "load: an image without a name" '^Loaded image ID: sha256:' katavm load -q -i unnamed.tar
expect_output "beside one that has one" "two:2" sh -c 'katavm --root "$0" load -q -i unnamed.tar | sed -n "2s/Loaded image: //p"' "$root"
expect_output "70 images" 70 sh -c 'katavm --root "$0" load -q -i seventy.tar | grep -cxE "Loaded image: many:[0-9]+"' "$root"
expect_output "each under its name" 70 sh -c 'katavm --root "$0" images -q many | wc -l' "$root"
expect_failure "more than are read" 1 'has 1025 images: the limit is 1024' katavm load -q -i too-many.tar

# Words of images and archives that a terminal would obey.
python3 - "$checkout/tests/integration" <<-'END'
	import sys
	sys.path.insert(0, sys.argv[1])
	from oci import *
	escape = "\x1b[31m\x9b31m\x7f"
	xattrs = {"SCHILY.xattr.user.%d" % i: "" for i in range(1024)}
	open("escape.tar", "wb").write(make_tar([entry("x", pax={**xattrs, "SCHILY.xattr." + escape: ""})]))
	made = Layout("layouts/escape")
	made.tag("1", made.image([made.layer(make_tar([entry("x")]))], config={"Labels": {"words": escape}}))
END
obeyed() { LC_ALL=C grep -qP '[\x01-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$work/.out" "$work/.err"; }
expect_failure "an archive's words are in the sentence" 1 'bad value of SCHILY.xattr..\[31m' katavm load -i escape.tar
if obeyed; then seen | fail "without what a terminal would obey"; else pass "without what a terminal would obey"; fi
fresh
tar -C layouts/escape -cf escape.oci.tar .
katavm load -q -t escape -i escape.oci.tar >/dev/null
json_label() { katavm inspect escape | python3 -c 'import json, sys; print(ascii(json.load(sys.stdin)[0]["Config"]["Labels"]["words"]))'; }
expect_output "inspect says what a label is" "'\x1b[31m\x9b31m\x7f'" json_label
observe katavm inspect escape
if obeyed; then seen | fail "in escapes of JSON"; else pass "in escapes of JSON"; fi

# images, inspect, rmi, prune.
fresh
katavm load -q -t first:1 -i big.oci.tar >/dev/null
katavm load -q -t first:2 -i big.oci.tar >/dev/null
katavm load -q -t other.example/second -i again.docker.tar >/dev/null
katavm pull -q oci:layouts/small >small
first=$(katavm images -q --no-trunc first:1)
expect_match "images shows a table" '^first +1 +[0-9a-f]{12} +N/A +[0-9.]+kB$' katavm images
expect_match "with names as typed" '^other.example/second +latest ' katavm images
expect_match "and images without a name" '^<none> +<none> +'"$(cut -c8-19 small)" katavm images
expect_output "images -q" 4 sh -c 'katavm --root "$0" images -q | grep -cE "^[0-9a-f]{12}$"' "$root"
expect_output "images NAME" 2 sh -c 'katavm --root "$0" images -q first | wc -l' "$root"
expect_output "images NAME:TAG" 1 sh -c 'katavm --root "$0" images -q first:2 | wc -l' "$root"
expect_match "images --digests" '^first +1 +sha256:[0-9a-f]{64} ' katavm images --digests
json() { # NAME EXPECTED PYTHON COMMAND...
	local name=$1 want=$2 code=$3
	shift 3
	observe "$@"
	local got
	got=$(python3 -c 'import json, sys; lines = [json.loads(line) for line in sys.stdin]; '"$code" <<<"$output" 2>&1)
	if [ "$got" = "$want" ]; then pass "$name"; else { echo "wanted $want, not $got"; seen; } | fail "$name"; fi
}
json "images --format json: one object a line" "4 first 1 $first" \
	'one = [i for i in lines if i["Repository"] == "first" and i["Tag"] == "1"][0]; print(len(lines), one["Repository"], one["Tag"], one["ID"])' \
	katavm images --format json
json "inspect --format json" "['first:1', 'first:2'] 3" \
	'print(lines[0]["RepoTags"], len(lines[0]["RootFS"]["Layers"]))' \
	katavm inspect --format json first:1
expect_match "inspect is a list" '^\[$' katavm inspect first:1
expect_match "inspect by the start of an id" "\"Id\": \"$first\"" katavm inspect "${first:7:12}"
expect_failure "inspect of nothing" 1 'there is no image none in the store' katavm inspect none
expect_output "rmi of one name of two" "Untagged: first:1" katavm rmi first:1
katavm load -q -t first:1 -i big.oci.tar >/dev/null
expect_failure "rmi by id of an image with two names" 1 'has 2 names: -f removes it all the same' katavm rmi "$first"
expect_match "rmi -f" "Deleted: $first" katavm rmi -f "$first"
expect_output "layers that another image has stay" 2 sh -c 'ls "$0/layers" | wc -l' "$root"
expect_failure "rmi of nothing" 1 'there is no image none' katavm rmi none
expect_failure "prune asks" 1 'give -f where nobody can answer' katavm prune
expect_match "prune -f removes what has no name" "Deleted: $(cat small)" katavm prune -f
expect_output "and its layers, if nobody else has them" 2 sh -c 'ls "$0/layers" | wc -l' "$root"
second=$(katavm images -q --no-trunc other.example/second)
exec 9<"$(find "$root/layers" -type f | head -n 1)" 8<"$(find "$root/layers" -type f | sed -n 2p)"
flock -s 8 && flock -s 9 # as a container does
expect_failure "rmi of what a container uses" 1 'is used by a running container' katavm rmi other.example/second
expect_output "prune -a leaves what a container uses" "Freed: 0.0 MB" katavm prune -a -f
exec 8<&- 9<&-
expect_match "prune -a removes images with names" "Deleted: $second" katavm prune -a -f
expect_output "then nothing is left" "" find "$root"/{refs,images,layers,blobs,tmp} -type f
expect_output "and nothing is listed" "" katavm images -q

# A user's own store, where no other is named.
chmod 755 "$work" layouts
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
mkdir data && chown 65534:65534 data
check "a user other than root has a store" as_user "$(type -P katavm)" pull -q oci:layouts/small
expect_output "in XDG_DATA_HOME" 1 as_user env -u HOME sh -c '"$0" images -q | wc -l; [ -d "$XDG_DATA_HOME/katavm/layers" ]' "$(type -P katavm)"
expect_output "else in HOME" ".local/share/katavm" as_user env -u XDG_DATA_HOME HOME="$work/data" sh -c '"$0" pull -q oci:layouts/small >/dev/null &&
	cd "$HOME" && ls -d .local/share/katavm' "$(type -P katavm)"

# Flags of Docker's that are not there, and words that make no sense.
expect_failure "pull -a" 125 'all-tags is not in this release: each tag is pulled by its name' katavm pull -a x
expect_failure "images --filter" 125 'filter is not in this release: images are listed by' katavm images --filter dangling=true
expect_failure "images --format with a template" 125 'format is one of table\|json, not "\{\{' katavm images --format '{{.ID}}'
expect_failure "inspect --format with a template" 125 'format is one of json' katavm inspect -f '{{.Id}}' x
expect_failure "rmi --no-prune" 125 'no-prune is not in this release' katavm rmi --no-prune x
expect_failure "prune --filter" 125 'filter is not in this release' katavm prune --filter until=1h
expect_failure "pull without a name" 125 'pull' katavm pull
expect_failure "a name in capitals" 1 'apital|lower case' katavm pull Debian
expect_failure "an id is no name to pull" 1 "is an image's id: a pull wants a name" katavm pull "$first"
expect_failure "--pull of run" 125 'pull is one of missing\|always\|never|missing, always or never' katavm run --pull sometimes x

# Progress: for programs, for logs, for people.
fresh
json "--progress json: objects on stderr" "True True" \
	'print(len(lines) >= 3, all(i["event"] in ("stored", "downloaded", "progress", "present") for i in lines))' \
	sh -c 'katavm --root "$0" pull --progress json oci:layouts/big 2>&1 >/dev/null' "$root"
expect_match "plain: a line a layer" '^[0-9a-f]{12}: layer present$' katavm pull oci:layouts/big
expect_output "none, and -q" "$image" sh -c 'katavm --root "$0" pull --progress none oci:layouts/big 2>&1; ' "$root"
fresh
python3 - "$checkout/tests/integration" <<-'END'
	import sys
	sys.path.insert(0, sys.argv[1])
	from oci import *
	made = Layout("layouts/huge")
	made.tag("1", made.image([made.layer(make_tar([entry("f%d" % i, content=bytes(1 << 20)) for i in range(64)]))]))
END
script -qec "katavm --root $root pull oci:layouts/big; katavm --root $root pull oci:layouts/huge" shown >/dev/null
if grep -q 'layer stored' shown && grep -q "^$image" shown && grep -q $'\033\[Koci:layouts/huge  0 of 1 layers, [0-9]' shown; then pass "and on a terminal"; else
	fail "and on a terminal" <shown; fi
expect_failure "a kind of progress that is none" 125 'progress is one of auto\|plain\|json\|none' katavm pull --progress x y

# Several at once, of local images, into a store that is not there yet.
fresh
pids=()
for i in 1 2 3 4 5 6; do
	what=(oci:layouts/big oci-archive:big.oci.tar docker-archive:big.docker.tar oci:layouts/again oci:layouts/small oci:layouts/zstd)
	katavm pull -q "${what[i - 1]}" >"at-once.$i" 2>&1 & pids+=($!)
done
good=0
for pid in "${pids[@]}"; do wait "$pid" && good=$((good + 1)); done
if [ $good = 6 ]; then pass "six imports at once"; else cat at-once.* | fail "six imports at once"; fi
expect_output "leave nothing unfinished" "" find "$root/tmp" -type f

# A load that is killed anywhere.
fresh
katavm load -q -t app -i big.docker.tar.gz >/dev/null
(cd "$root" && find layers refs -type f -exec sha256sum {} +) | sort >whole
RANDOM=99
: >problems
for round in $(seq 16); do
	fresh
	command katavm --root "$root" load -q -t app -i big.docker.tar.gz >/dev/null 2>&1 &
	victim=$!
	sleep "$(printf '0.%05d' $((RANDOM % 25000)))"
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null
	[ ! -e "$root/layers" ] || (cd "$root" && find layers refs -type f -exec sha256sum {} +) | grep -vxFf whole >>problems
	katavm load -q -t app -i big.docker.tar.gz >/dev/null 2>>problems || echo "round $round: load fails" >>problems
	find "$root/tmp" -type f -printf "round $round: left %p %s\n" >>problems
done
if [ ! -s problems ]; then pass "16 times killed while loading, and again"; else
	fail "16 times killed while loading, and again" <problems; fi
