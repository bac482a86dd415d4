#!/bin/bash
# ./dev lint [CHECK…]: everything that reads the code without running it. One line for each check; a summary that
# ./dev test adds up. clang-tidy remembers, by content, the files it found clean.
set -eu
. "$(dirname "$0")/common.sh"
cd "$top"
all=(format layering shell tidy cppcheck analyzer)
jobs=$(nproc)
[ $# -gt 0 ] || set -- "${all[@]}"
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

# Not the programs of the guest kernel's build: a byte changed there is a kernel built again.
sources() { git ls-files '*.c' '*.h' ':!guest-kernel'; }

# Files of the compilation database, as the paths in the checkout.
compiled() {
	sed -n 's/.*"file": "\.\.\/\(.*\)".*/\1/p' build/compile_commands.json | grep -v '^build' | sort -u
}

need_configured() {
	[ -e build/build.ninja ] || meson setup build >/dev/null
	# Headers that are generated have to be there.
	ninja -C build >/dev/null
}

lint_format() { sources | xargs clang-format-14 --dry-run -Werror; }

lint_layering() { sh tests/layering.sh; }

lint_shell() {
	{
		git ls-files '*.sh' dev .ci/run tests/lab/exec tests/lab/second
	} | while read -r file; do [ ! -f "$file" ] || echo "$file"; done |
		xargs shellcheck -x -P SCRIPTDIR -e SC1090,SC1091
}

tidy_one() { # FILE BASE-KEY
	local mark
	mark=$cache/lint/tidy/$( (echo "$2"; cat "$1") | sha256sum | cut -c1-32)
	[ ! -e "$mark" ] || return 0
	clang-tidy-14 --quiet -p build "$1" 2>/dev/null || return 1
	: >"$mark"
}

lint_tidy() {
	local base
	need_configured
	mkdir -p "$cache/lint/tidy"
	base=$({ cat .clang-tidy meson.build; git ls-files '*.h' | xargs cat; clang-tidy-14 --version; } | sha256sum)
	export -f tidy_one
	export cache
	# shellcheck disable=SC2016
	compiled | xargs -P "$jobs" -I{} bash -c 'tidy_one "$1" "$2"' - {} "$base"
}

lint_cppcheck() {
	need_configured
	mkdir -p "$cache/lint/cppcheck"
	cppcheck --quiet -j "$jobs" --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=unmatchedSuppression --suppress='*:tests/*' \
		--suppress='*:build/*' --library=posix --std=c11 --cppcheck-build-dir="$cache/lint/cppcheck" \
		--project=build/compile_commands.json
}

lint_analyzer() {
	[ -e build-analyzer/build.ninja ] ||
		meson setup build-analyzer -Dtests=disabled -Dc_args=-fanalyzer -Dwerror=true || return 1
	ninja -C build-analyzer -k 0
}

passed=0 failed=0
for check in "$@"; do
	case " ${all[*]} " in
	*" $check "*) ;;
	*) die "there is no check \"$check\"; there are: ${all[*]}" ;;
	esac
	start=$SECONDS
	say "lint $check …"
	(set +e; "lint_$check") >"$log/$check" 2>&1 &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.1
		[ $(((SECONDS - start + 1) % 30)) -ne 0 ] || { say "lint $check … $((SECONDS - start)) s"; sleep 1; }
	done
	if wait "$child"; then
		passed=$((passed + 1))
		say "lint $check: clean ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		grep -vE '^\[[0-9]+/[0-9]+\]|^ninja: (Entering|build stopped)' "$log/$check" | head -n "${KATAVM_LINT_LINES:-60}" >&2
		say "lint $check: FAILED ($((SECONDS - start)) s)"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
