# shellcheck shell=bash
# What every part of ./dev needs: where things are, messages, packages. Sourced, never run.
# Nothing here may cost time: a second run of any word reaches its real work in well under a second.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab_dir=$top/tests/lab
# Everything that is expensive to make and the same for every checkout lives here, keyed by its inputs.
cache=${KATAVM_CACHE:-/var/cache/katavm}
# shellcheck disable=SC2034 # of those who source this
results=${KATAVM_RESULTS:-$top/results}
# shellcheck disable=SC2034
build=$top/build out=$top/out

say() { printf 'dev: %s\n' "$*" >&2; }
die() { printf 'dev: %s\n' "$*" >&2; exit 125; }

# Runs a long step with its output in a log; one line tells that it still lives, at most every 20 s.
step() { # TITLE LOG CMD...
	local title=$1 log=$2 start=$SECONDS child rc=0
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$title …"
	"$@" >"$log" 2>&1 </dev/null &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - start)) -ge 20 ] && [ $(((SECONDS - start) % 20)) -eq 0 ]; then
			say "$title … $((SECONDS - start)) s: $(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
			sleep 1
		fi
	done
	wait "$child" || rc=$?
	if [ "$rc" -ne 0 ]; then
		tail -n 30 "$log" >&2
		say "$title failed (status $rc); all of its output is in $log"
	fi
	return "$rc"
}

# One line per wanted package that is not installed.
missing_packages() {
	local wanted
	wanted=$(sed -n 's/^\([a-z0-9][^ #]*\).*/\1/p' "$lab_dir/packages" | sort)
	comm -23 <(echo "$wanted") <(
		# shellcheck disable=SC2016,SC2086
		dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
			sed -n 's/^installed //p' | sort)
}

need_packages() {
	local missing
	missing=$(missing_packages)
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: $(tr "\n" " " <<<"$missing")"
	local apt=(apt-get -o DPkg::Lock::Timeout=300 -y)
	export DEBIAN_FRONTEND=noninteractive
	step "refreshing the package lists" "$cache/log/apt-update" "${apt[@]}" update || true
	# shellcheck disable=SC2086
	step "installing $(tr "\n" " " <<<"$missing")" "$cache/log/apt-install" \
		"${apt[@]}" install --no-install-recommends $missing || exit 125
}

# Hardware virtualisation that /dev/kvm really uses. A software KVM has the device and not the flag.
hardware_kvm() {
	[ -z "${KATAVM_FORCE_LAB:-}" ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] &&
		grep -qwE 'vmx|svm' /proc/cpuinfo
}
