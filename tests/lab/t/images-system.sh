#!/bin/bash
# timeout: 600
# What images need a machine of their own for: certificates in /etc, full disks, and the containers made of them.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
tests=$checkout/tests/integration
export DOCKER_CONFIG=$work/docker
unset SSL_CERT_FILE SSL_CERT_DIR
background=()
stop() {
	local status=$? pid
	for pid in "${background[@]}"; do kill "$pid" && wait "$pid"; done 2>/dev/null
	umount "$work/small" 2>/dev/null
	rm -rf /etc/docker/certs.d
	(exit "$status")
	finish
}
trap stop EXIT

key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" "${@:2}" 2>/dev/null; }
sign() { openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 2 -out "$1.crt" "${@:3}" 2>/dev/null; }
key authority -x509 -days 2 -out authority.crt
key server -out server.csr
echo subjectAltName=IP:127.0.0.1 >names
sign server authority -extfile names
key client -out client.csr
sign client authority

# An image with a configuration that says everything, and its successor of the same name.
cat >images.py <<-'END'
	import sys
	sys.path.insert(0, sys.argv[1])
	from oci import *
	programs = "sh id pwd env ls cat echo sleep touch mount grep readlink".split()
	tar = make_tar([folder("bin"), entry("bin/busybox", content=open("/bin/busybox", "rb").read(), mode=0o755)] +
	               [symlink("bin/" + name, "busybox") for name in programs] +
	               [folder("etc"), folder("tmp", mode=0o1777), folder("srv", mode=0o777), folder("proc"), folder("sys"), folder("dev"),
	                entry("etc/passwd", content=b"root:x:0:0::/root:/bin/sh\nweb:x:1234:55::/srv:/bin/sh\n"),
	                entry("etc/group", content=b"root:x:0:\nteam:x:77:web\nextra:x:88:web\n"),
	                folder("data", uid=1234, mode=0o750), entry("data/from-image", content=b"kept\n")])
	says = 'echo "args $0 $*"; id; pwd; echo env $GREETING; readlink -f .; cat /data/from-image; touch /data/new && echo volume'
	config = {"Entrypoint": ["/bin/sh", "-c", says], "Cmd": ["one", "two words"], "Env": ["PATH=/bin", "GREETING=hello there"],
	          "WorkingDir": "/srv/new/folder", "User": "web:team", "StopSignal": "SIGUSR1", "Volumes": {"/data": {}}}
	app = Layout("layouts/app")
	layer = app.layer(tar)
	app.tag("1", app.image([layer], config))
	app.tag("next", app.image([layer], {**config, "Entrypoint": ["/bin/echo", "next:"]}))
	small = Layout("layouts/small")
	small.tag("1", small.image([small.layer(make_tar([entry("small", content=b"small")]))]))
	noise = Layout("layouts/noise")
	noise.tag("1", noise.image([noise.layer(make_tar([entry("noise", content=os.urandom(2000000))]))]))
	grows = Layout("layouts/grows")
	grows.tag("1", grows.image([grows.layer(make_tar([entry("a", content=b"grows" * 1000000)]))]))
END
python3 images.py "$tests"
front() { # NAME [CLIENTS]
	python3 "$tests/front.py" layouts "requests.$1" "ports.$1" server.crt server.key "${@:2}" >"front.$1" 2>&1 &
	background+=($!)
}
front one
front two authority.crt
for _ in $(seq 600); do
	[ ! -e ports.one ] || [ ! -e ports.two ] || break
	sleep 0.1
done
if [ ! -e ports.one ] || [ ! -e ports.two ]; then
	cat front.* | fail "the registries start"
	exit 1
fi
read -r http https <ports.one
read -r _ mutual <ports.two
host=127.0.0.1:$http
pull() { timeout 100 katavm --root "$work/store" pull -q "$@"; }

# Certificates where Docker's users have them.
expect_failure "an authority nobody knows" 1 'is not trusted' pull "127.0.0.1:$https/plain/small:1"
mkdir -p "/etc/docker/certs.d/127.0.0.1:$https" "/etc/docker/certs.d/127.0.0.1:$mutual"
cp authority.crt "/etc/docker/certs.d/127.0.0.1:$https/ca.crt"
check "certs.d names an authority for a registry" pull "127.0.0.1:$https/plain/small:1"
expect_failure "and for no other" 1 'is not trusted' pull "127.0.0.1:$mutual/plain/small:1"
cp authority.crt "/etc/docker/certs.d/127.0.0.1:$mutual/any.crt"
expect_failure "a registry that wants a certificate" 1 'no answer from' pull "127.0.0.1:$mutual/plain/small:1"
cp client.crt "/etc/docker/certs.d/127.0.0.1:$mutual/client.cert"
expect_failure "a certificate without its key" 1 'client.cert has no key .*client.key beside it' pull "127.0.0.1:$mutual/plain/small:1"
cp client.key "/etc/docker/certs.d/127.0.0.1:$mutual/client.key"
check "gets it from certs.d" pull "127.0.0.1:$mutual/plain/small:1"

# A disk that is full, while downloading and while unpacking.
mkdir small
mount -t tmpfs -o size=1500k small small
full() { # NAME IMAGE
	expect_failure "$1" 1 "^katavm: the disk of $work/small is full$" timeout 60 katavm --root "$work/small" pull -q "$host/plain/$2"
	expect_output "$1: nothing is visible" "" katavm --root "$work/small" images -q
	expect_output "$1: and nothing is left" "" find small -type f -size +0
}
full "the disk is full while downloading" noise:1
full "the disk is full while unpacking" grows:1
check "a small image still fits" katavm --root "$work/small" pull -q "$host/plain/small:1"
mount -o remount,size=20m small
check "with more room the download works" katavm --root "$work/small" pull -q "$host/plain/noise:1"
check "and so does unpacking" katavm --root "$work/small" pull -q "$host/plain/grows:1"

# Containers: the configuration counts, and --pull says when an image is fetched.
image=$host/plain/app:1
run() { timeout -k 20 250 katavm run --rm "$@"; }
expect_failure "--pull never of an image that is not there" 125 "there is no image $image in the store: katavm pull fetches it" \
	run --pull never "$image"
observe run -q "$image"
if [ "$status" = 0 ]; then pass "--pull missing fetches it"; else seen | fail "--pull missing fetches it"; fi
has() { # NAME LINE
	if grep -qxE -- "$2" <<<"$output"; then pass "$1"; else { echo "wanted $2"; seen; } | fail "$1"; fi
}
has "Entrypoint and Cmd" 'args one two words'
has "User, whose names are the image's" 'uid=1234\(web\) gid=77\(team\).*'
has "WorkingDir, which is made" '/srv/new/folder'
has "Env" 'env hello there'
has "a volume has what the image has there" 'kept'
has "and belongs to whom it belongs there" volume
python3 - layouts/app/index.json <<-'END'
	import json, sys
	index = json.load(open(sys.argv[1]))
	one, after = index["manifests"]
	one["annotations"], after["annotations"] = after["annotations"], one["annotations"]
	json.dump(index, open(sys.argv[1], "w"))
END
expect_match "--pull missing keeps what is there" '^args one' run --pull missing -q "$image"
expect_output "--pull always fetches what the name is now" "next: one two words" run --pull always -q "$image"
check "the earlier image goes with prune" katavm prune -f
expect_output "--pull never takes what is there" "next: x" run --pull never -q "$image" x
expect_output "an image by its id" "next: y" run -q "$(katavm images -q "$image")" y
timeout -k 20 250 katavm run --rm --entrypoint sh "$image" -c 'trap "echo usr1; exit 7" USR1; echo ready; while :; do sleep 1; done' >said 2>&1 &
pid=$!
for _ in $(seq 400); do grep -q ready said && break; sleep 0.2; done
pkill -TERM -P "$pid" katavm || kill -TERM "$pid"
status=0
wait "$pid" || status=$?
if [ "$status" = 7 ] && grep -q usr1 said; then pass "StopSignal is what stops it"; else
	{ echo "status $status"; cat said; } | fail "StopSignal is what stops it"; fi
