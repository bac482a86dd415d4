#!/bin/bash
# runs: machine
# timeout: 600
# Pulls from a registry of our own on loopback, tests/integration/front.py, that misbehaves in one way at a time.
# A network of its own, in which this machine has an address that is not loopback.
if [ -z "${AWAY-}" ]; then AWAY=192.0.2.7 exec unshare -n "$BASH" "$0"; fi
. "$(dirname "$0")/../lib.sh"
ip link set lo up
ip address add "$AWAY/32" dev lo
cd "$work" || exit 1
tests=$checkout/tests/integration
export DOCKER_CONFIG=$work/docker HOME=$work/home
mkdir "$DOCKER_CONFIG" "$HOME"
unset XDG_CONFIG_HOME SSL_CERT_FILE SSL_CERT_DIR
background=()
stop() {
	local status=$? pid
	for pid in "${background[@]}"; do kill "$pid" && wait "$pid"; done 2>/dev/null
	(exit "$status")
	finish
}
trap stop EXIT

# An authority, and the server's certificate.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-authority \
	-keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 \
	-keyout server.key -out server.csr 2>/dev/null
echo subjectAltName=IP:127.0.0.1,DNS:localhost >names
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt \
	-extfile names 2>/dev/null

python3 "$tests/registry_images.py" layouts
python3 "$tests/front.py" layouts requests ports server.crt server.key >front.log 2>&1 &
background+=($!)
for _ in $(seq 600); do
	[ ! -e ports ] || break
	sleep 0.05
done
[ -e ports ] || { fail "the registry starts" <front.log; exit 1; }
read -r http https <ports
host=127.0.0.1:$http tls=127.0.0.1:$https

# Each pull has a store of its own unless $root says which.
pull() { # REFERENCE [FLAG...]
	local at=${root:-$work/store.$RANDOM$RANDOM}
	timeout 100 katavm --root "$at" pull -q "$@"
}
fails() { # NAME REGEX REFERENCE [FLAG...]: with a sentence, and nothing of it is visible or left
	local name=$1 regex=$2 root=$work/failed
	shift 2
	rm -rf "$root"
	observe pull "$@"
	judge "$name" "$regex" "$root"
}
judge() { # NAME REGEX STORE: of what was observed
	local name=$1 regex=$2 root=$3
	if [ "$status" = 1 ] && grep -qE -- "^katavm: .*$regex" <<<"$errors" && [ "$(wc -l <<<"$errors")" = 1 ] &&
		[ -z "$(katavm --root "$root" images -q; find "$root"/{refs,images,layers} "$root"/tmp/layer* -type f 2>/dev/null)" ]; then
		pass "$name"; else
		{ echo "wanted: $regex"; seen; find "$root" -type f; } | fail "$name"
	fi
}
# The same for what takes long, since it is tried again and again: all of them at once, judged at the end.
patient=()
fails_later() { # NAME REGEX REFERENCE
	local at=$work/patient.${#patient[@]}
	patient+=("$1"$'\t'"$2")
	{
		timeout 100 katavm --root "$at" pull -q "$3" >"$at.out" 2>"$at.err"
		echo $? >"$at.status"
	} &
}
harmless() { # NAME: what was observed last has nothing that a terminal obeys
	if LC_ALL=C grep -qP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|(^|[\x00-\x7f])[\x80-\x9f]' <<<"$errors"; then seen | fail "$1"; else
		pass "$1"; fi
}
asked() { grep -c "$@" requests; } # how many requests have this in them

fails_later "a server that allows no more" 'allows no more pulls for now' "$host/rate/small:1"
fails_later "nobody listens" 'no answer from 127.0.0.1:1: .*onnect' 127.0.0.1:1/none
fails_later "a connection that is always cut" 'breaks off again and again' "$host/cut-always/big:1"
{ root=$work/stalled pull "$host/stall/big:1" >stalled.out 2>&1; echo $? >stalled.status; } &
# More logins than a registry may want before it gives something.
{ root=$work/once pull "$host/token-once/one:1" >once.out 2>&1; echo $? >once.status; } &

# What is right.
for image in big small plain zstd docker docker-zstd again; do check "$image" pull "$host/plain/$image:1"; done
check "by digest" pull "$host/plain/big@$(sed 's/.*"digest": "\([^"]*\)".*/\1/' layouts/big/index.json)"
which() { # REFERENCE [FLAG...]: the label that says which image it is
	root=$work/multi pull "$@" | xargs katavm --root "$work/multi" inspect | sed -n 's/.*"which": "\(.*\)".*/\1/p'
}
for image in multi multi-docker nested; do
	expect_output "$image: the one for this machine" here which "$host/plain/$image:1"
done
expect_output "--platform with a variant" v7 which --platform linux/arm/v7 "$host/plain/multi:1"
expect_output "and the other variant" v6 which --platform linux/arm/v6 "$host/plain/multi:1"
expect_output "another operating system" windows which --platform "windows/$(uname -m | sed s/x86_64/amd64/)" "$host/plain/multi:1"
fails "a platform that is not there" 'multi:1 is not there for linux/riscv64, only for: .*linux/arm/v7' \
	"$host/plain/multi:1" --platform linux/riscv64
fails "a wrong platform without an index" 'foreign:1 is not there for linux/.*, only for: linux/s390x' "$host/plain/foreign:1"
fails "a platform that is none" 'platform "a/b/c/d" is not of the form' "$host/plain/multi:1" --platform a/b/c/d

# Layers that must be one, as the topmost has a folder that only those below describe.
expect_output "layers that are put together" 1 sh -c 'katavm --root "$0" pull -q "$1" | xargs katavm --root "$0" inspect |
	sed -n "/StoredLayers/,/]/p" | grep -c sha256:' "$work/implied" "$host/plain/implied:1"
katavm --root "$work/implied" prune -f >/dev/null
expect_output "of which one is left" 1 sh -c 'ls "$0/layers" | wc -l' "$work/implied"
before=$(asked '/v2/plain/implied/blobs/')
root=$work/implied check "pulled again" pull "$host/plain/implied:1"
if [ $(($(asked '/v2/plain/implied/blobs/') - before)) = 1 ]; then pass "only its configuration is asked for"; else
	fail "only its configuration is asked for" <requests; fi

# Documents that are wrong.
fails "no such image" 'has no 127.*small:none' "$host/plain/small:none"
fails "a manifest of another digest" 'does not have its digest' \
	"$host/manifest-flip/big@$(sed 's/.*"digest": "\([^"]*\)".*/\1/' layouts/big/index.json)"
fails "a manifest that is called something else" 'does not have its digest' "$host/manifest-name/small:1"
fails "a manifest of unknown type" 'unknown media type "text/html"' "$host/manifest-type/small:1"
fails "a huge manifest" 'document larger than 4 MiB' "$host/manifest-huge/small:1"
fails "a manifest that is not JSON" 'not valid JSON \(cut short' "$host/plain/json:1"
fails "a manifest and an index at once" 'a manifest and an index at once' "$host/plain/two-kinds:1"
fails "Docker's schema 1" "Docker's schema 1" "$host/plain/schema1:1"
fails "an artifact" 'unknown media type "application/vnd.oci.empty' "$host/plain/artifact:1"
fails "a layer of unknown type" 'layer 1 has the unknown media type ".*\+lz4"' "$host/plain/type-lz4:1"
fails "a layer that is none" 'layer 1 has the media type of something else' "$host/plain/type-config:1"
fails "a digest that is a path" 'digest' "$host/plain/digest-bad:1"
fails "a digest of another kind" 'digest' "$host/plain/digest-md5:1"
fails "too few layers" 'manifest has 1 layers, its configuration 2' "$host/plain/count:1"

# Blobs that are wrong.
fails "a layer that is not there" 'has no layer sha256:2222' "$host/plain/layer-gone:1"
fails "a changed byte" 'another digest: it is damaged' "$host/flip/big:1"
fails "a layer shorter than it says" 'is truncated at .* [0-9]+ bytes of [0-9]+' "$host/short/big:1"
fails "a layer longer than it says" 'sends more for sha256:' "$host/long/big:1"
fails "a size that is too large" 'is truncated' "$host/plain/size-more:1"
fails "a size that is too small" 'sends more' "$host/plain/size-less:1"
fails "another content than the configuration says" 'layer 1: the layer unpacks to sha256:.*, not to its diff id sha256:1111' "$host/plain/diff-id:1"
fails "gzip without an end" 'layer 1: the layer is truncated: its gzip' "$host/plain/gzip-cut:1"
fails "damaged gzip" 'layer 1: ' "$host/plain/gzip-flip:1"
fails "zstd without an end" 'layer 1: the layer is truncated: its zstd' "$host/plain/zstd-cut:1"
fails "a tar without an end" 'layer 1: data-0: the tar ends too early' "$host/plain/tar-cut:1"

# Connections that are bad.
check "layers come at the same time" pull "$host/together/big:1"
check "a connection that is cut" pull "$host/cut/big:1"
if [ "$(asked '"path": "/v2/cut/big/.*"range": "bytes=')" = 3 ]; then pass "goes on where it was"; else
	fail "goes on where it was" <requests; fi
check "cut, and the server knows no ranges" pull "$host/cut-no-range/big:1"
check "cut, and the server refuses ranges" pull "$host/cut-refused-range/big:1"
# A download that an earlier katavm completed, and a power cut damaged.
part=$(python3 - layouts/one <<-'END'
	import json, sys
	read = lambda digest: open(sys.argv[1] + "/blobs/sha256/" + digest[7:], "rb").read()
	digest = json.loads(read(json.load(open(sys.argv[1] + "/index.json"))["manifests"][0]["digest"]))["layers"][0]["digest"]
	data = read(digest)
	open("part", "wb").write(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
	print("part-" + digest[7:])
END
)
mkdir -p damaged/tmp && mv part "damaged/tmp/$part"
root=$work/damaged check "a whole part of an earlier try that is damaged" pull "$host/plain/one:1"
check "a server that is busy twice" pull "$host/busy/big:1"
fails "an answer nobody expects" 'answered HTTP 501' "$host/broken/small:1"
harmless "whose words are kept from the terminal"
fails "a media type that writes to terminals" 'unknown media type "application/.\[31m' "$host/plain/type-escape:1"
harmless "of which nothing arrives there"
fails "a challenge that writes to terminals" 'of a kind that is not known: "Negotiate .\[31m' "$host/login-escape/small:1"
harmless "of which nothing arrives there either"

# Who we are. A password in config.json:
login() { printf '{"auths": {"%s": {%s}}}' "$1" "$2" >"$DOCKER_CONFIG/config.json"; }
auth() { printf '"auth": "%s"' "$(printf %s "$1" | base64)"; }
fails "no password" "wants a password: docker login $host" "$host/basic/small:1"
login "$host" "$(auth ann:secret)"
check "a password for Basic" pull "$host/basic/small:1"
pull "$host/plain/again:1" >pulled
if grep -q plain/again requests && ! grep plain/again requests | grep -v '"authorization": null' >sent; then
	pass "a password that nobody asks for is not sent"; else fail "a password that nobody asks for is not sent" <sent; fi
mkdir "$HOME/.docker" && mv "$DOCKER_CONFIG/config.json" "$HOME/.docker/"
check "of ~/.docker/config.json" env -u DOCKER_CONFIG katavm --root "$work/home-config" pull -q "$host/basic/small:1"
rm -r "$HOME/.docker"
login "$host" "$(auth ann:wrong)"
fails "a wrong password" 'with these credentials' "$host/basic/small:1"
login other.example:5000 "$(auth ann:secret)"
fails "a password for somebody else" 'wants a password' "$host/basic/small:1"
echo '{"auths": [' >"$DOCKER_CONFIG/config.json"
fails "a config.json that is broken" "docker's config.json is not valid JSON" "$host/basic/small:1"
rm "$DOCKER_CONFIG/config.json"
# A helper's:
mkdir bin
cat >bin/docker-credential-test <<-'END'
	#!/bin/sh
	read -r registry
	echo "$registry" >>"$DOCKER_CONFIG/asked"
	case $registry in
	127.0.0.1:*) echo '{"ServerURL": "x", "Username": "ann", "Secret": "secret"}' ;;
	*) echo "credentials not found in native keychain"; exit 1 ;;
	esac
END
printf '#!/bin/sh\necho "the keychain is locked"; exit 1\n' >bin/docker-credential-locked
printf '#!/bin/sh\necho "not json"\n' >bin/docker-credential-garbage
printf '#!/bin/sh\nread r; echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"refresh-ann\\"}"\n' >bin/docker-credential-token
chmod 755 bin/*
PATH=$work/bin:$PATH
echo '{"credsStore": "test"}' >"$DOCKER_CONFIG/config.json"
check "a helper for all" pull "$host/basic/small:1"
expect_output "which is asked for the registry" "$host" tail -n 1 "$DOCKER_CONFIG/asked"
echo '{"credsStore": "locked", "credHelpers": {"'"$host"'": "test"}}' >"$DOCKER_CONFIG/config.json"
check "a helper for one registry" pull "$host/basic/small:1"
echo '{"credsStore": "locked"}' >"$DOCKER_CONFIG/config.json"
fails "a helper that fails" 'docker-credential-locked failed: the keychain is locked' "$host/basic/small:1"
echo '{"credsStore": "garbage"}' >"$DOCKER_CONFIG/config.json"
fails "a helper that babbles" 'docker-credential-garbage is not valid JSON' "$host/basic/small:1"
echo '{"credsStore": "absent"}' >"$DOCKER_CONFIG/config.json"
fails "a helper that is not installed" 'ask docker-credential-absent for a password: No such file' "$host/basic/small:1"
echo '{"credsStore": "../evil"}' >"$DOCKER_CONFIG/config.json"
fails "a helper that is a path" "cannot be a helper's name" "$host/basic/small:1"
echo '{"credsStore": "token"}' >"$DOCKER_CONFIG/config.json"
check "a helper that keeps a token" pull "$host/token-private/big:1"
rm "$DOCKER_CONFIG/config.json"
# Tokens:
check "a token for anybody" pull "$host/token/big:1"
if grep -qE '"path": "/token/token\?service=test%20service&scope=repository%3Atoken%2Fbig%3Apull"' requests; then
	pass "is asked for by service and scope"; else grep token requests | fail "is asked for by service and scope"; fi
fails "a token that nobody gets" 'gives no token: HTTP 401' "$host/token-private/small:1"
login "$host" "$(auth ann:secret)"
check "a token for a password" pull "$host/token-private/big:1"
login "$host" '"identitytoken": "refresh-ann"'
check "a token for a refresh token" pull "$host/token-private/big:1"
rm "$DOCKER_CONFIG/config.json"
check "a token's service that is busy twice" pull "$host/token-busy/small:1"
check "tokens that become old in the middle" pull "$host/token-short/big:1"
fails "a token from a place without TLS" 'sends to "http://registry.invalid/token" for a token, which is not https' "$host/token-abroad/small:1"
fails "a login nobody knows" 'a login of a kind that is not known: "Negotiate abc"' "$host/login-strange/small:1"
# Redirects:
login "$host" "$(auth ann:secret)"
check "a redirect to another host" pull "$host/redirect/big:1"
check "after a password" pull "$host/basic-redirect/big:1"
check "with a token" pull "$host/token-redirect/big:1"
if grep -q '"/elsewhere/.*localhost' requests && ! grep '"/elsewhere/' requests | grep -v '"authorization": null'; then
	pass "the other host gets no credentials"; else grep elsewhere requests | fail "the other host gets no credentials"; fi
fails "a redirect to plain HTTP on another machine" 'it leads to plain HTTP on another machine' "$host/redirect-away/big:1"
if grep -q "\"host\": \"$AWAY" requests; then fail "which gets no request" <requests; else pass "which gets no request"; fi
login "$host" '"identitytoken": "refresh-ann"'
fails "a token's service that sends to another host" 'gives no token: HTTP 307' "$host/token-moved/small:1"
if grep '"host": "localhost' requests | grep refresh-ann >sent; then fail "the other host gets no refresh token" <sent; else
	pass "the other host gets no refresh token"; fi
login "$host" "$(auth ann:secret)"
fails "a redirect in a circle" 'edirect' "$host/redirect-loop/big:1"

# HTTPS.
check "a redirect from HTTPS to HTTPS" env SSL_CERT_FILE="$work/ca.crt" katavm --root "$work/redirected" pull -q "$tls/redirect/big:1"
fails "a certificate of an unknown authority" "certificate of $tls is not trusted: .*(/etc/docker/certs.d/$tls/ca.crt)" "$tls/plain/small:1"
export SSL_CERT_FILE=$work/ca.crt
check "SSL_CERT_FILE names the authority" pull "$tls/plain/big:1"
fails "a redirect out of HTTPS is not followed" 'rotocol' "$tls/redirect-down/big:1"
login "$tls" "$(auth ann:secret)"
check "a password over HTTPS" pull "$tls/basic/small:1"
rm "$DOCKER_CONFIG/config.json"
SSL_CERT_FILE=$work/none fails "an authority's file that is not there" 'none' "$tls/plain/small:1"
fails "a certificate for another name" 'is not trusted: .*name' "other.localhost:$https/plain/small:1"
unset SSL_CERT_FILE
fails "plain HTTP on another machine" 'no answer from .*plain HTTP is for registries on this machine only' "other.localhost:$http/plain/small:1"
mkdir ca.dir && cp ca.crt "ca.dir/$(openssl x509 -hash -noout -in ca.crt).0"
SSL_CERT_DIR=$work/ca.dir check "SSL_CERT_DIR names a folder of them" pull "$tls/plain/small:1"

for i in "${!patient[@]}" stalled once; do
	until [ -e "patient.$i.status" ] || [ -e "$i.status" ]; do sleep 0.1; done # each has its own time limit
done
for i in "${!patient[@]}"; do
	status=$(cat "patient.$i.status") output=$(cat "patient.$i.out") errors=$(cat "patient.$i.err")
	judge "${patient[i]%%$'\t'*}" "${patient[i]#*$'\t'}" "$work/patient.$i"
done
if [ "$(cat stalled.status)" = 0 ] && grep -q 'stall/big/blobs.*"range": "bytes=' requests; then
	pass "a transfer that stalls is tried again"; else cat requests stalled.out | fail "a transfer that stalls is tried again"; fi
if [ "$(cat once.status)" = 0 ] && [ "$(grep -c '"path": "/v2/token-once/one/blobs.*"authorization": "Bearer.*"range": "bytes=' requests)" -ge 23 ]; then
	pass "a transfer that is cut again and again, with a token for each piece"; else
	fail "a transfer that is cut again and again, with a token for each piece" <once.out; fi
