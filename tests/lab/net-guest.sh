# shellcheck shell=bash disable=SC2154
# For checks of the network device, read after lib.sh: guests of busybox on a tap, under katavm vmm.
kernel=${KATAVM_TEST_KERNEL:-$(dirname "$(readlink -f "$(command -v katavm)")")/../lib/katavm/vmlinux}
modprobe tun

mkdir -p "$work/root/bin"
cp /bin/busybox "$work/root/bin/"
# The guest's first program does what the kernel's command line says behind "do=", words separated by commas.
cat >"$work/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
ip addr add 10.99.0.2/24 dev eth0
ip addr add fd99::2/64 dev eth0
eval "$(sed -n 's/.*do="\([^"]*\)".*/\1/p' /proc/cmdline)"
poweroff -f
END
chmod 755 "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initramfs.cpio"

tap() { # [ARGUMENT...]: a new tap with the host's address
	ip link del t0 2>/dev/null
	ip tuntap add t0 mode tap vnet_hdr "$@" && ip link set t0 up
	ip addr add 10.99.0.1/24 dev t0
	ip addr add fd99::1/64 dev t0 nodad
}
guest() { # COMMANDS [KEYS]: runs them in a guest on t0
	cat >"$work/vm.json" <<-END
		{"kernel": "$kernel", "initramfs": "$work/initramfs.cpio", "vcpus": ${vcpus:-1},
		"cmdline": "quiet do=\"$1\"", ${control:+"\"control\": \"$control\","}
		"net": [{"tap": "t0", "mac": "02:00:00:00:00:07"${2:+, $2}}]}
	END
	sed -i 's/do="\(.*\)"", /do=\\"\1\\"", /' "$work/vm.json"
	timeout -k 1 600 katavm vmm --config "$work/vm.json"
}
