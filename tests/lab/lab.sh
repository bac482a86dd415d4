#!/bin/bash
# ./dev lab: runs a command on a host with working hardware KVM. Without one on this machine, that host is
# QEMU emulating a whole computer in software: a Debian kernel with the real kvm-amd module, and this machine's /
# read-only below a tmpfs. Each lab has a folder in $state with its QEMU's pid, keys, command socket and boot log;
# commands travel over ssh on a loopback port, so terminals, pipes, signals and exit statuses are real ones.
set -eu
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/qemu.sh"

state=/tmp/katavm-lab-$(id -u)
idle_minutes=${KATAVM_LAB_IDLE:-30}
qemu=()
qemu_pid=

usage() {
	cat <<-'END'
		usage: ./dev lab [--exact] [--memory MIB] COMMAND [ARGUMENT…]
		       ./dev lab --start [--memory MIB] | --keep COMMAND… | --stop | --status | --state

		Runs COMMAND on a host with /dev/kvm that works: this machine where it has hardware virtualisation, else an
		emulated one in which this machine's files are visible and cannot be changed. The folder results/ of the
		checkout (or $KATAVM_RESULTS) is writable there as /results, what ./dev build made is in $PATH. One word with
		spaces in it is shell text. An emulated host has one processor (tests/lab/qemu.sh says why).

		  --exact    the lab's clock is the number of instructions executed, one a nanosecond: the same command
		             takes the same time in every run. Slow, always emulated.
		  --start    keep a lab running; commands use it while it is up, and do not wait for a boot
		  --keep     start one unless it runs, then run COMMAND in it
		  --stop     end it; --status tells about it, --state what one that hangs is doing
		  --fresh    a lab of its own for this command, even when one is kept
		The kept lab belongs to the checkout, or to the name in $KATAVM_LAB, and ends itself when unused for 30 minutes.
	END
}

# ---- the lab's kernel and first program, in the cache ----

lab_modules="virtio_pci virtio_blk virtio_net virtio_console 9pnet_virtio 9p overlay ext4 kvm-amd fuse"

fetch_kernel() { # DIR
	local package dir=$1
	rm -rf "$dir".new
	mkdir -p "$dir".new/root
	cd "$dir".new
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)/\1/p' | head -n 1)
	[ -n "$package" ] || { echo "no package linux-image-amd64 in the package lists"; return 1; }
	apt-get -o APT::Sandbox::User=root download "$package"
	dpkg -x "$package"_*.deb root
	rm "$package"_*.deb
	depmod -b root "$(ls root/lib/modules)"
	cd /
	mv "$dir".new "$dir"
}

pack_initramfs() { # KERNEL-DIR FILE
	local version tree=$2.tree
	version=$(ls "$1/root/lib/modules")
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,modules,lab}
	cp /bin/busybox "$tree/bin/"
	cp "$lab_dir/init" "$tree/init"
	cp "$lab_dir/second" "$lab_dir/exec" "$tree/lab/"
	chmod 755 "$tree/init"
	local module path
	for module in $lab_modules; do
		modprobe -d "$1/root" -S "$version" --show-depends "$module"
	done | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' | while read -r path; do
		cp "$path" "$tree/modules/"
		basename "$path" >>"$tree/modules/order"
	done
	(cd "$tree" && find . | cpio --quiet -o -H newc) >"$2.new"
	rm -rf "$tree"
	mv "$2.new" "$2"
}

prepare() {
	local kernel=$cache/lab/kernel key
	for tool in qemu-system-x86_64 busybox cpio modprobe dropbear ssh; do
		command -v "$tool" >/dev/null || need_packages
	done
	key=$(cat "$lab_dir/init" "$lab_dir/second" "$lab_dir/exec" "$lab_dir/lab.sh" | sha256sum | cut -c1-16)
	initramfs=$cache/lab/initramfs-$key.cpio
	if [ ! -d "$kernel" ] || [ ! -e "$initramfs" ]; then
		mkdir -p "$cache/lab"
		exec 8>"$cache/lab/lock"
		flock 8
		[ -d "$kernel" ] || step "fetching Debian's kernel for the lab" "$cache/log/lab-kernel" fetch_kernel "$kernel"
		[ -e "$initramfs" ] || pack_initramfs "$kernel" "$initramfs"
		exec 8>&-
	fi
	choose_qemu
	vmlinuz=$(echo "$kernel"/root/boot/vmlinuz-*)
	modules=$(echo "$kernel"/root/lib/modules/*)
}

# ---- one lab ----

# What ./dev build made goes into each lab's memory, at /opt/katavm: programs that run from 9p could be changed
# under their feet, and the time 9p takes would be measured as theirs.
out_stamp() { find "$out" -type f -printf '%p %T@ %s\n' 2>/dev/null | sort | sha256sum; }

pack_out() { tar --sparse --owner=0 --group=0 -C "$out" -c .; }

# Fills qemu=() for a lab whose files are in folder $1.
qemu_command() { # DIR MODE
	local dir=$1 mode=$2
	mkdir -p "$results"
	mkdir -p "$dir/cpio/lab"
	{
		printf 'LAB_MODE=%q\nLAB_TOP=%q\nLAB_RESULTS=%q\n' "$mode" "$top" "$results"
		printf 'LAB_MODULES=%q\nLAB_STDIN=%q\n' "$modules" "${use_stdin:-}"
	} >"$dir/cpio/lab/config"
	[ ! -e "$out/bin/katavm" ] || pack_out >"$dir/cpio/lab/out.tar"
	(cd "$dir/cpio" && find lab -type f | cpio --quiet -o -H newc) >"$dir/extra.cpio"
	cat "$initramfs" "$dir/extra.cpio" >"$dir/initramfs.cpio"
	qemu=("${qemu_program[@]}" -M q35 -cpu "max,+svm,+npt" -smp 1 -m "$memory"
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$vmlinuz" -initrd "$dir/initramfs.cpio" -serial "file:$dir/boot.log"
		-monitor "unix:$dir/monitor,server=on,wait=off"
		-fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"
		-device "virtio-9p-pci,fsdev=host,mount_tag=host"
		-fsdev "local,id=checkout,path=$top,security_model=none,readonly=on,multidevs=remap"
		-device "virtio-9p-pci,fsdev=checkout,mount_tag=checkout"
		-fsdev "local,id=results,path=$results,security_model=none,multidevs=remap"
		-device "virtio-9p-pci,fsdev=results,mount_tag=results")
	if [ "$mode" = exact ]; then
		qemu+=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -seed 1 -rtc clock=vm
			-append "console=ttyS0 quiet panic=-1 tsc=reliable nokaslr"
			-device "virtio-serial-pci,ioeventfd=off")
	else
		qemu+=(-accel "tcg,thread=multi"
			-append "console=ttyS0 quiet panic=-1 tsc=reliable $qemu_settings"
			-netdev "user,id=net,hostfwd=tcp:127.0.0.1:0-:22" -device "virtio-net-pci,netdev=net,romfile="
			-device virtio-rng-pci)
	fi
}

# The loopback port QEMU was given by the kernel: the listening socket among its descriptors.
forwarded_port() { # PID
	local inodes
	inodes=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n' | tr '\n' ' ')
	awk -v inodes="$inodes" 'BEGIN { n = split(inodes, list); for (i = 1; i <= n; i++) mine[list[i]] = 1 }
		$4 == "0A" && $10 in mine { sub(/.*:/, "", $2); print $2; exit }' /proc/net/tcp |
		while read -r hex; do echo $((16#$hex)); done
}

ssh_options() { # DIR
	ssh=(ssh -q -F none -S "$1/socket" -i "$1/key" -p "$(cat "$1/port")" -o BatchMode=yes
		-o "UserKnownHostsFile=$1/known_hosts" -o StrictHostKeyChecking=yes -o HostKeyAlias=lab
		-o IdentitiesOnly=yes -o IdentityAgent=none -o ServerAliveInterval=0 -e none)
}

# Starts a lab in folder $1 and returns when it takes commands. Its QEMU dies with this process.
boot() { # DIR
	local dir=$1 waited=0
	mkdir -p "$dir/cpio/lab"
	chmod 700 "$dir"
	rm -f "$dir/key" "$dir/host_key"
	ssh-keygen -q -t ed25519 -N '' -C lab -f "$dir/key"
	dropbearkey -t ed25519 -f "$dir/host_key" 2>/dev/null | sed -n 's/^ssh-/lab ssh-/p' >"$dir/known_hosts"
	cp "$dir/key.pub" "$dir/cpio/lab/authorized_key"
	cp "$dir/host_key" "$dir/cpio/lab/host_key"
	out_stamp >"$dir/out"
	qemu_command "$dir" serve
	[ -z "${disk:-}" ] || qemu+=(-drive "file=$disk,if=none,id=disk,format=raw,discard=unmap,cache=writeback"
		-device "virtio-blk-pci,drive=disk")
	setpriv --pdeathsig KILL "${qemu[@]}" </dev/null >"$dir/qemu.log" 2>&1 9>&- &
	qemu_pid=$!
	echo "$qemu_pid" >"$dir/pid"
	until grep -qs '^lab: ready' "$dir/boot.log"; do
		if ! kill -0 "$qemu_pid" 2>/dev/null || [ "$waited" -ge 1200 ]; then
			cat "$dir/qemu.log" "$dir/boot.log" >&2 2>/dev/null || true
			die "the lab did not start; its boot log is above"
		fi
		sleep 0.1
		waited=$((waited + 1))
		[ $((waited % 200)) -ne 0 ] || say "the lab is starting … $((waited / 10)) s"
	done
	forwarded_port "$qemu_pid" >"$dir/port"
	ssh_options "$dir"
	"${ssh[@]}" -M -N -f -o ControlPersist=yes root@127.0.0.1 </dev/null >/dev/null 2>&1
	touch "$dir/ready"
}

remove_lab() { # DIR
	if [ -n "$qemu_pid" ]; then
		kill -KILL "$qemu_pid" 2>/dev/null || true # it may not listen any more
		wait "$qemu_pid" 2>/dev/null || true # or the shell says that it was killed
	fi
	[ ! -S "$1/socket" ] || ssh -q -S "$1/socket" -O exit lab 2>/dev/null || true
	rm -rf "$1"
}

# The command as shell text: folder, the few variables that are passed, words.
command_text() { # WORD...
	local name
	printf 'cd %q || exit 125; ' "$PWD"
	for name in $(compgen -e); do
		case $name in
		KATAVM_CACHE | KATAVM_RESULTS | KATAVM_LAB | KATAVM_LAB_* | KATAVM_FORCE_LAB | KATAVM_IN_LAB) ;;
		KATAVM_* | TERM | COLORTERM | NO_COLOR) printf 'export %s=%q; ' "$name" "${!name}" ;;
		esac
	done
	if [ $# -eq 1 ] && [[ $1 == *[[:space:]]* ]]; then
		printf 'exec /bin/bash -c %q' "$1"
	else
		printf 'exec'
		printf ' %q' "$@"
	fi
}

# Runs a command in the lab of folder $1, which is up.
send() { # DIR WORD...
	local dir=$1 job rc=0 child text terminal=(-T) session="setsid "
	shift
	job=$$.$RANDOM
	text=$(command_text "$@")
	ssh_options "$dir"
	[ ! -t 0 ] || [ ! -t 1 ] || { terminal=(-t) session=; }
	# With a terminal the server makes the session. Without $SSH_CLIENT, as bash started by an ssh server reads
	# ~/.bashrc even for -c, which may be anything and slow.
	"${ssh[@]}" "${terminal[@]}" root@127.0.0.1 \
		"unset SSH_CLIENT SSH2_CLIENT SSH_CONNECTION; exec ${session}/bin/bash /run/lab/exec $job '${text//\'/\'\\\'\'}'" <&0 9>&- &
	child=$!
	# shellcheck disable=SC2064
	for signal in INT TERM HUP QUIT; do
		trap "stop_job '$dir' $job $signal $child" "$signal"
	done
	while :; do
		rc=0
		wait "$child" || rc=$?
		kill -0 "$child" 2>/dev/null || break
	done
	trap - INT TERM HUP QUIT
	return "$rc"
}

# A signal of ours goes to the command's process group in the lab; what ignores it for 3 s is killed.
stop_job() { # DIR JOB SIGNAL CHILD
	local target="kill -s $3 -- -\$(cat /run/lab/job/$2)"
	"${ssh[@]}" -T root@127.0.0.1 "$target; for i in 1 2 3 4 5 6; do
		kill -0 -- -\$(cat /run/lab/job/$2) || exit 0; sleep 0.5; done
		kill -s KILL -- -\$(cat /run/lab/job/$2)" </dev/null >/dev/null 2>&1 &
}

# ---- the kept lab ----

lab_name() {
	if [ -n "${KATAVM_LAB:-}" ]; then
		case $KATAVM_LAB in *[!A-Za-z0-9_.-]* | .*) die "KATAVM_LAB is a name of letters, digits and _.-" ;; esac
		echo "$KATAVM_LAB"
	else
		echo "$(basename "$top")-$(echo "$top" | sha256sum | cut -c1-6)"
	fi
}

kept_is_up() { # DIR
	[ -e "$1/ready" ] && kill -0 "$(cat "$1/keeper")" 2>/dev/null && kill -0 "$(cat "$1/pid")" 2>/dev/null
}

# The process that owns a kept lab: boots it, then waits until it is stopped or unused for a while. Every command
# holds a shared lock on the file "used" while it runs.
keeper() { # DIR
	local dir=$1 idle
	echo $$ >"$dir/keeper"
	trap 'remove_lab "$dir"' EXIT
	trap 'exit 0' INT TERM HUP
	disk=$cache/lab/disk-$(basename "$dir").ext4
	# Labs of tests begin with nothing and leave nothing.
	case $(basename "$dir") in test.* | self.*) disk=$dir/disk.ext4 ;; esac
	if [ ! -e "$disk" ]; then
		truncate -s 32G "$disk.new"
		mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 "$disk.new"
		mv "$disk.new" "$disk"
	fi
	: >"$dir/used"
	boot "$dir"
	while kill -0 "$qemu_pid" 2>/dev/null; do
		sleep 5 &
		wait $! || true
		idle=$(($(date +%s) - $(stat -c %Y "$dir/used")))
		[ "$idle" -lt $((idle_minutes * 60)) ] || ! flock -n "$dir/used" true || break
	done
	"${ssh[@]}" -T root@127.0.0.1 'sync; exec umount /var/lib/katavm' </dev/null >/dev/null 2>&1 || true
}

start_kept() { # DIR
	local dir=$1
	kept_is_up "$dir" && return
	prepare
	mkdir -p "$state"
	chmod 700 "$state"
	exec 8>"$state/$(basename "$dir").lock"
	flock 8
	if ! kept_is_up "$dir"; then
		rm -rf "$dir"
		mkdir -p "$dir"
		say "starting the lab (an emulated host with hardware KVM), about 6 s; ./dev lab --stop ends it"
		setsid bash "$lab_dir/lab.sh" --keeper "$dir" "$memory" </dev/null >"$dir.log" 2>&1 8>&- 9>&- &
		local child=$!
		until kept_is_up "$dir"; do
			kill -0 "$child" 2>/dev/null || { cat "$dir.log" >&2; die "the lab did not start"; }
			sleep 0.1
		done
	fi
	exec 8>&-
}

stop_kept() { # DIR
	local dir=$1 pid
	if kept_is_up "$dir"; then
		ssh_options "$dir"
		timeout 10 "${ssh[@]}" -T root@127.0.0.1 'sync; umount -l /var/lib/katavm; sync' </dev/null >/dev/null 2>&1 || true
	fi
	pid=$(cat "$dir/keeper" 2>/dev/null) || { rm -rf "$dir"; return 0; } # it may still be starting
	kill "$pid" 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
	rm -rf "$dir"
}

# What can be asked of a lab that answers no command: its kernel's last messages and its processors' registers.
state_of_kept() { # DIR
	echo "the end of the lab's boot log:"
	tail -n 30 "$1/boot.log"
	timeout 20 python3 - "$1/monitor" 2>/dev/null <<-'END' || echo "its monitor does not answer either"
		import socket, sys
		monitor = socket.socket(socket.AF_UNIX)
		monitor.connect(sys.argv[1])
		monitor.sendall(b'info registers -a\ninfo lapic 0\n')
		monitor.settimeout(5)
		text = b''
		while text.count(b'(qemu) ') < 3:
		    text += monitor.recv(65536)
		for line in text.decode(errors='replace').splitlines():
		    if line.startswith(('CPU#', 'RAX', 'RSI', 'RIP', 'CR0', 'LVTT', 'ISR', 'IRR')):
		        print(line)
	END
}

run_in_kept() { # DIR WORD...
	local dir=$1 rc=0
	shift
	exec 9>>"$dir/used"
	flock -s 9
	touch "$dir/used"
	ssh_options "$dir"
	if [ "$(out_stamp)" != "$(cat "$dir/out")" ] && [ -e "$out/bin/katavm" ]; then
		pack_out | "${ssh[@]}" -T root@127.0.0.1 'exec tar -C /opt/katavm -x' || die "the lab does not take what was built"
		out_stamp >"$dir/out"
	fi
	send "$dir" "$@" || rc=$?
	touch "$dir/used" 2>/dev/null || true
	return "$rc"
}

# ---- a lab of one command ----

# A folder for a lab that ends with this process; its path goes to the caller's $dir.
make_once() { # NAME
	prepare
	mkdir -p "$state"
	chmod 700 "$state"
	dir=$(mktemp -d "$state/$1.XXXXXX")
	# shellcheck disable=SC2064
	trap "remove_lab '$dir'" EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

run_once() { # WORD...
	local dir rc=0
	make_once once
	boot "$dir"
	send "$dir" "$@" || rc=$?
	return "$rc"
}

run_exact() { # WORD...
	local dir rc=125
	make_once exact
	use_stdin=
	[ -t 0 ] || use_stdin=1
	mkdir -p "$dir/cpio/lab"
	command_text "$@" >"$dir/cpio/lab/command"
	qemu_command "$dir" exact
	mkfifo "$dir/in.in" "$dir/in.out"
	: >"$dir/status"
	qemu+=(-add-fd "fd=4,set=1" -add-fd "fd=5,set=2"
		-chardev "file,id=out,path=/dev/fdset/1,append=on" -device "virtserialport,chardev=out,nr=2"
		-chardev "file,id=err,path=/dev/fdset/2,append=on" -device "virtserialport,chardev=err,nr=3"
		-chardev "file,id=status,path=$dir/status" -device "virtserialport,chardev=status,nr=4")
	if [ -n "$use_stdin" ]; then
		qemu+=(-chardev "stdio,id=in,signal=off" -device "virtserialport,chardev=in,nr=1")
		setpriv --pdeathsig KILL "${qemu[@]}" 4>&1 5>&2 <&0 >/dev/null 2>"$dir/qemu.log" &
	else
		setpriv --pdeathsig KILL "${qemu[@]}" 4>&1 5>&2 </dev/null >/dev/null 2>"$dir/qemu.log" &
	fi
	qemu_pid=$!
	wait "$qemu_pid" || true
	rc=$(cat "$dir/status")
	if [ -z "$rc" ]; then
		cat "$dir/qemu.log" "$dir/boot.log" >&2 || true
		die "the lab ended without a status; its boot log is above"
	fi
	return "$rc"
}

main() {
	local exact='' keep='' action='' fresh='' dir rc=0
	memory=${KATAVM_LAB_MEMORY:-3072}
	if [ "${1:-}" = --keeper ]; then
		memory=$3
		prepare
		keeper "$2"
		return
	fi
	while [ $# -gt 0 ]; do
		case $1 in
		--exact) exact=1 ;;
		--keep) keep=1 ;;
		--fresh) fresh=1 ;;
		--start | --stop | --status | --state) action=${1#--} ;;
		--memory) memory=${2:?--memory needs a number of MiB}; shift ;;
		--help) usage; return 0 ;;
		--) shift; break ;;
		-*) usage >&2; die "lab: unknown option $1" ;;
		*) break ;;
		esac
		shift
	done
	case $memory in *[!0-9]*) die "lab: --memory takes a number" ;; esac
	dir=$state/$(lab_name)
	case $action in
	start) start_kept "$dir"; return ;;
	stop) stop_kept "$dir"; return ;;
	state) state_of_kept "$dir"; return ;;
	status)
		kept_is_up "$dir" && { echo "lab $(basename "$dir") is up (QEMU is process $(cat "$dir/pid"))"; return 0; }
		echo "lab $(basename "$dir") is not running"
		return 1 ;;
	esac
	[ $# -gt 0 ] || { usage >&2; return 125; }
	if [ -n "${KATAVM_IN_LAB:-}" ] || { [ -z "$exact" ] && hardware_kvm; }; then
		[ -n "${KATAVM_IN_LAB:-}" ] || say "this machine has hardware KVM; the command runs on it directly"
		mkdir -p "$results"
		export KATAVM_RESULTS=$results PATH=$out/bin:$PATH
		if [ $# -eq 1 ] && [[ $1 == *[[:space:]]* ]]; then exec bash -c "$1"; fi
		exec "$@"
	fi
	if [ -n "$exact" ]; then
		run_exact "$@" || rc=$?
	else
		[ -z "$keep" ] || start_kept "$dir"
		if [ -z "$fresh" ] && kept_is_up "$dir"; then
			run_in_kept "$dir" "$@" || rc=$?
		else
			run_once "$@" || rc=$?
		fi
	fi
	return "$rc"
}

main "$@"
