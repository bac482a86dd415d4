#!/bin/bash
# runs: machine
# timeout: 600
# Pulls from a real docker-registry on loopback: formats, an index, passwords, HTTPS, several at once, killed anywhere.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
tests=$checkout/tests/integration
export DOCKER_CONFIG=$work/docker HOME=$work/home
mkdir "$DOCKER_CONFIG" "$HOME"
unset XDG_CONFIG_HOME SSL_CERT_FILE SSL_CERT_DIR
registry=
stop() { [ -z "$registry" ] || { kill "$registry"; wait "$registry"; } 2>/dev/null; registry=; }
trap 'status=$?; stop; (exit $status); finish' EXIT

# A port that nobody has; it stays the same, since images are named by it.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
host=127.0.0.1:$port
serve() { # [more lines of its configuration]
	stop
	{
		printf 'version: 0.1\nlog: {level: error}\nhttp:\n  addr: %s\n' "$host"
		[ $# = 0 ] || printf '%s\n' "$@"
		printf 'storage: {filesystem: {rootdirectory: %s/data}}\n' "$work"
	} >config.yml
	docker-registry serve config.yml >registry.log 2>&1 &
	registry=$!
	for _ in $(seq 200); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
		kill -0 "$registry" || break
		sleep 0.05
	done
	fail "docker-registry starts" <registry.log
}
store=$work/store
pull() { timeout 60 katavm --root "$store" pull -q "$@"; }
fresh() { rm -rf "$store"; }

python3 "$tests/registry_images.py" layouts
push() { skopeo copy -q --dest-tls-verify=false "$@"; }
serve
{
	push oci:layouts/big:1 "docker://$host/app:1"
	push oci:layouts/again:1 "docker://$host/again:1"
	push --format v2s2 oci:layouts/big:1 "docker://$host/app:schema2"
	push --dest-compress-format zstd --dest-compress oci:layouts/plain:1 "docker://$host/zstd:1"
	push --all oci:layouts/multi:1 "docker://$host/deep/er/multi:1"
} >push.log 2>&1

check "an OCI image" pull "$host/app:1"
check "a Docker schema 2 image" pull "$host/app:schema2"
fresh
check "zstd layers" pull "$host/zstd:1"
expect_failure "a wrong platform names what there is" 1 'app:1 is not there for linux/s390x, only for: linux/' \
	pull --platform linux/s390x "$host/app:1"
expect_failure "an image that is not there" 1 "$host has no $host/none:1" pull "$host/none:1"
check "an index" pull "$host/deep/er/multi:1"
expect_match "of which this machine's image came" '"which": "here"' katavm --root "$store" inspect "$host/deep/er/multi:1"
check "another image of it" pull --platform linux/arm/v7 "$host/deep/er/multi:1"
expect_match "which the name leads to now" '"which": "v7"' katavm --root "$store" inspect "$host/deep/er/multi:1"
expect_failure "an image it does not have" 1 'only for: .*linux/arm/v6' pull --platform linux/ppc64le "$host/deep/er/multi:1"

# What a whole pull leaves: every file, and what is in it.
contents() { (cd "$1" && find images refs blobs layers -type f ! -path 'images/*' -exec sha256sum {} + | sort -k 2); }
fresh
pull "$host/app:1" >/dev/null
contents "$store" >whole

fresh
pids=()
for i in 1 2 3 4; do pull "$host/app:1" >"same.$i" 2>&1 & pids+=($!); done
pull "$host/again:1" >other 2>&1 & pids+=($!)
good=0
for pid in "${pids[@]}"; do wait "$pid" && good=$((good + 1)); done
if [ $good = 5 ]; then pass "four times the same image and once another, at once"; else
	cat same.* other | fail "four times the same image and once another, at once"; fi
contents "$store" | grep -F -f <(cut -c1-64 whole) >seen
if cmp -s seen whole; then pass "and all is as one pull alone leaves it"; else
	diff seen whole | fail "and all is as one pull alone leaves it"; fi

# Killed at any point. What is visible is whole; the next pull works; nothing stays behind.
visible_is_whole() {
	local id
	contents "$store" | grep -v '  blobs/' >now # documents without a name may be there
	grep -vxFf whole now && return 1
	for id in $(katavm --root "$store" images -q --no-trunc); do
		katavm --root "$store" inspect "$id" >inspected || return 1
	done
	[ ! -e "$store/refs" ] || [ -z "$(ls "$store/refs")" ] || katavm --root "$store" inspect "$host/app:1" >inspected
}
start=$(date +%s%N)
fresh
pull "$host/app:1" >/dev/null
whole_us=$((($(date +%s%N) - start) / 1000))
bad=0 early=0 RANDOM=4711
for round in $(seq 40); do
	[ $((round % 4)) != 1 ] || fresh # the others find what the one before left
	[ $((round % 4)) = 1 ] || katavm --root "$store" rmi "$host/app:1" >/dev/null 2>&1
	setsid katavm --root "$store" pull -q "$host/app:1" >/dev/null 2>&1 &
	victim=$!
	sleep "$(printf '0.%06d' $((RANDOM * 32768 % whole_us + RANDOM % 1000)))"
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null && early=$((early + 1))
	for _ in $(seq 100); do # its children die with it
		pgrep -s $victim >survivors || break
		sleep 0.05
	done
	[ ! -s survivors ] || { bad=$((bad + 1)); cp survivors "problem.$round"; }
	if ! visible_is_whole >problem 2>&1; then
		bad=$((bad + 1))
		cp problem "problem.$round"
	fi
	[ $((round % 2)) = 0 ] || continue
	if ! pull "$host/app:1" >problem 2>&1 || ! contents "$store" | cmp -s - whole || [ -n "$(ls "$store/tmp")" ]; then
		bad=$((bad + 1))
		{ cat problem; ls "$store/tmp"; } >"problem.$round"
	fi
done
if [ $bad = 0 ] && [ $early -lt 40 ]; then pass "40 times killed somewhere, and again"; else
	{ echo "$bad bad, $early were done before"; cat problem.*; } | fail "40 times killed somewhere, and again"; fi
fresh
setsid katavm --root "$store" pull -q "$host/app:1" >/dev/null 2>&1 &
until [ -n "$(ls "$store/tmp" 2>/dev/null)" ] || ! kill -0 $! 2>/dev/null; do :; done
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
check "prune" katavm --root "$store" prune -f
expect_output "removes what a killed pull left" "" find "$store/tmp" -type f

# The registry's own files are damaged behind its back.
layer=$(find data -name data -size +100k -size -200k | head -n 1)
cp "$layer" saved
fresh
printf 'X' | dd of="$layer" bs=1 seek=70000 conv=notrunc status=none
expect_failure "a digest that does not match" 1 'has another digest: it is damaged' pull "$host/app:1"
expect_output "of which nothing is visible" "" find "$store/refs" "$store/images" -type f
fresh
head -c 70000 saved >"$layer"
expect_failure "a truncated layer" 1 'truncated|breaks off|sends' pull "$host/app:1"
cp saved "$layer"
check "and all is well again" pull "$host/app:1"

# A password: ann and secret, as htpasswd -B writes it.
printf 'ann:%s\n' "$(perl -e 'print crypt("secret", q($2y$05$abcdefghijklmnopqrstuu))')" >htpasswd
serve "auth: {htpasswd: {realm: here, path: $work/htpasswd}}"
fresh
login() { printf '{"auths": {"%s": {"auth": "%s"}}}' "$host" "$(printf %s "$1" | base64)" >"$DOCKER_CONFIG/config.json"; }
expect_failure "a password is asked for" 1 'wants a password' pull "$host/app:1"
login ann:wrong
expect_failure "a wrong password" 1 'docker login' pull "$host/app:1"
login ann:secret
check "the password of docker's config.json" pull "$host/app:1"

# HTTPS.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
	-addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.crt 2>/dev/null
serve "  tls: {certificate: $work/server.crt, key: $work/server.key}" \
	"auth: {htpasswd: {realm: here, path: $work/htpasswd}}"
fresh
expect_failure "an unknown authority" 1 'is not trusted' pull "$host/app:1"
check "a known one, and a password" env SSL_CERT_FILE="$work/server.crt" timeout 60 katavm --root "$store" pull -q "$host/app:1"
