#!/bin/sh
# Pulls from a real docker-registry on a loopback port: plain and password, several at once, killed in
# the middle, a wrong platform, a damaged and a truncated layer, a multi-platform index.
# usage: registry.sh KATAVM. Needs docker-registry, skopeo and umoci; mounts nothing.
set -u
katavm=$(realpath "$1")
for need in docker-registry skopeo umoci; do
	command -v "$need" >/dev/null || { echo "registry.sh: $need is not installed"; exit 77; }
done
dir=$(mktemp -d)
port=$((20000 + $$ % 20000))
host=127.0.0.1:$port
registry=
failed=0
stop() { [ -z "$registry" ] || { kill "$registry"; wait "$registry"; } 2>/dev/null; registry=; }
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
export DOCKER_CONFIG="$dir/docker"
mkdir "$dir/docker"

serve() { # [more lines of its configuration]
	stop
	{
		printf 'version: 0.1\nlog: {level: error}\nhttp: {addr: %s}\n' "$host"
		printf 'storage: {filesystem: {rootdirectory: %s/data}}\n' "$dir"
		[ $# = 0 ] || printf '%s\n' "$@"
	} >"$dir/config.yml"
	docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 &
	registry=$!
	sleep 1
}
pull() { timeout 60 "$katavm" --root "$dir/store" pull -q "$@" >"$dir/out" 2>&1; }
ok() { if [ "$2" -eq 0 ]; then echo "ok: $1"; else echo "FAILED: $1"; cat "$dir/out"; failed=1; fi; }
says() { # name, text: the last pull failed with this sentence
	grep -q -- "$2" "$dir/out"
	ok "$1" $?
}

mkdir "$dir/tree"
head -c 3000000 /dev/urandom >"$dir/tree/big"
tar -C "$dir/tree" -cf "$dir/one.tar" .
echo two >"$dir/tree/big"
tar -C "$dir/tree" -cf "$dir/two.tar" .
umoci init --layout "$dir/oci" && umoci new --image "$dir/oci:v1" || exit 1
umoci raw add-layer --image "$dir/oci:v1" "$dir/one.tar" || exit 1
umoci raw add-layer --image "$dir/oci:v1" "$dir/two.tar" || exit 1
push() { skopeo copy -q --dest-tls-verify=false "$@"; }

serve
push "oci:$dir/oci:v1" "docker://$host/app:1" || exit 1
push --format v2s2 "oci:$dir/oci:v1" "docker://$host/app:schema2" || exit 1
push --dest-compress-format zstd --dest-compress "oci:$dir/oci:v1" "docker://$host/zstd:1" || exit 1

pull "$host/app:1"; ok "an OCI image" $?
pull "$host/app:schema2"; ok "a Docker schema 2 image" $?
rm -rf "$dir/store"
pull "$host/zstd:1"; ok "zstd layers" $?
pull --platform linux/s390x "$host/app:1"; says "a wrong platform names what there is" 'only for: linux/'
pull "$host/none:1"; says "an image that is not there" 'has no'

rm -rf "$dir/store"
pids=
for i in 1 2 3 4; do
	timeout 60 "$katavm" --root "$dir/store" pull -q "$host/app:1" >"$dir/out$i" 2>&1 &
	pids="$pids $!"
done
all=0
for pid in $pids; do wait "$pid" || all=1; done
ok "four pulls at once" $all

for wait in 0.02 0.05 0.1 0.2 0.3; do
	rm -rf "$dir/store"
	"$katavm" --root "$dir/store" pull -q "$host/app:1" >/dev/null 2>&1 &
	pid=$!
	sleep $wait
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	for name in "$dir"/store/refs/*; do # a name that is visible leads to a whole image
		[ ! -e "$name" ] || "$katavm" --root "$dir/store" inspect "$host/app:1" >"$dir/out" 2>&1
	done && pull "$host/app:1" && [ -z "$(ls "$dir/store/tmp")" ]
	ok "killed after $wait s, and again" $?
done

# The registry's own files are damaged behind its back.
layer=$(find "$dir/data" -name data -size +1000k | head -n 1)
cp "$layer" "$dir/whole"
rm -rf "$dir/store"
printf 'X' | dd of="$layer" bs=1 seek=1000000 conv=notrunc status=none
pull "$host/app:1"; says "a digest that does not match" 'digest'
[ -z "$(find "$dir/store/refs" "$dir/store/images" -type f 2>/dev/null)" ]; ok "nothing half visible" $?
rm -rf "$dir/store"
head -c 1000000 "$dir/whole" >"$layer"
pull "$host/app:1"; says "a truncated layer" 'truncated\|breaks off\|sends'
cp "$dir/whole" "$layer"

if command -v htpasswd >/dev/null; then
	htpasswd -Bbn ann secret >"$dir/htpasswd"
	rm -rf "$dir/store"
	serve "auth: {htpasswd: {realm: here, path: $dir/htpasswd}}"
	pull "$host/app:1"; says "a password is asked for" 'wants a password'
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$host" "$(printf ann:secret | base64)" >"$dir/docker/config.json"
	pull "$host/app:1"; ok "Basic with docker's config.json" $?
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$host" "$(printf ann:wrong | base64)" >"$dir/docker/config.json"
	pull "$host/app:1"; says "a wrong password" 'docker login'
fi
exit $failed
