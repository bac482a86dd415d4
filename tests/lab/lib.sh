# shellcheck shell=bash
# What a file of checks in tests/lab/t/ needs. A file is a bash script that begins with
#     . "$(dirname "$0")/../lib.sh"
# and makes checks; each prints one line "ok NAME" or "not ok NAME" and, when it fails, what was seen. Files run
# inside the lab unless a line "# runs: machine" says otherwise, and have 300 s unless "# timeout: SECONDS" does.
# katavm is in $PATH, $work is an empty folder that goes away, and in the lab /results is kept.

set -u
failures=0
work=$(mktemp -d)
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export checkout PYTHONDONTWRITEBYTECODE=1 # the checkout stays as it is

finish() {
	local status=$?
	cd /
	rm -rf "$work"
	if [ "$status" -ne 0 ]; then exit "$status"; fi
	[ "$failures" -eq 0 ] || exit 1
}
trap finish EXIT

pass() { echo "ok $*"; }

fail() { # NAME, why on stdin
	failures=$((failures + 1))
	echo "not ok $*"
	head -n 40 | sed 's/^/    /'
}

# Runs a command; leaves its status, standard output and standard error in $status, $output and $errors.
observe() { # COMMAND...
	status=0
	"$@" >"$work/.out" 2>"$work/.err" || status=$?
	output=$(tr -d '\0' <"$work/.out")
	errors=$(tr -d '\0' <"$work/.err")
}

seen() {
	printf 'status %s\nstdout: %s\nstderr: %s\n' "$status" "$output" "$errors"
}

# The command ends well.
check() { # NAME COMMAND...
	local name=$1
	shift
	expect_status "$name" 0 "$@"
}

# The command ends with this status.
expect_status() { # NAME STATUS COMMAND...
	local name=$1 want=$2
	shift 2
	observe "$@"
	if [ "$status" = "$want" ]; then pass "$name"; else
		{ echo "wanted status $want from: $*"; seen; } | fail "$name"
	fi
}

# The command ends well and prints exactly this.
expect_output() { # NAME TEXT COMMAND...
	local name=$1 want=$2
	shift 2
	observe "$@"
	if [ "$status" = 0 ] && [ "$output" = "$want" ]; then pass "$name"; else
		{ echo "wanted \"$want\" from: $*"; seen; } | fail "$name"
	fi
}

# Output or errors of the command, whatever its status, match this extended regular expression.
expect_match() { # NAME REGEX COMMAND...
	local name=$1 want=$2
	shift 2
	observe "$@"
	if printf '%s\n%s\n' "$output" "$errors" | grep -qE -- "$want"; then pass "$name"; else
		{ echo "wanted a line like \"$want\" from: $*"; seen; } | fail "$name"
	fi
}

# The command fails with this status, and its errors match: how a refusal is checked.
expect_failure() { # NAME STATUS REGEX COMMAND...
	local name=$1 want=$2 regex=$3
	shift 3
	observe "$@"
	if [ "$status" = "$want" ] && printf '%s\n' "$errors" | grep -qE -- "$regex"; then pass "$name"; else
		{ echo "wanted status $want and \"$regex\" from: $*"; seen; } | fail "$name"
	fi
}
