#!/bin/bash
# Makes the demonstration image, Debian bookworm from the mirror this machine uses, once; prints the path of its OCI archive.
# One layer, and the few documents around it written here: that is all an image is.
set -eu
. "$(dirname "$0")/common.sh"
need_packages
archive=$cache/demo/debian-bookworm.oci.tar
if [ ! -e "$archive" ]; then
	mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | awk '$2 == "bookworm" { print $1; exit }')
	[ -n "$mirror" ] || die "no package source of bookworm is configured on this machine"
	dir=$archive.dir
	rm -rf "$dir"
	mkdir -p "$dir/blobs/sha256"
	apt-config dump Acquire | grep -E '::Proxy|Retries' >"$dir/apt.conf" || true
	step "making the demonstration image of Debian bookworm" "$cache/log/demo-image" \
		mmdebstrap --mode=root --skip=chroot/mount --variant=minbase --aptopt="$dir/apt.conf" --format=tar \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		bookworm "$dir/layer" "$mirror"
	blob() { # FILE: becomes a blob; prints digest and size as JSON members
		local digest size
		digest=$(sha256sum "$1" | cut -d' ' -f1)
		size=$(stat -c %s "$1")
		mv "$1" "$dir/blobs/sha256/$digest"
		printf '"digest":"sha256:%s","size":%s' "$digest" "$size"
	}
	layer=$(blob "$dir/layer")
	digest=${layer#'"digest":'}
	case $(uname -m) in aarch64) machine=arm64 ;; *) machine=amd64 ;; esac
	printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["bash"]},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
		"$machine" "${digest%%,*}" >"$dir/config"
	config=$(blob "$dir/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",%s}]}' \
		"$config" "$layer" >"$dir/manifest"
	manifest=$(blob "$dir/manifest")
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"bookworm"}}]}' "$manifest" >"$dir/index.json"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$dir/oci-layout"
	tar -C "$dir" -cf "$archive.new" oci-layout index.json blobs
	mv "$archive.new" "$archive"
	rm -rf "$dir"
fi
echo "$archive"
