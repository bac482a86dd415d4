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

# What clang-tidy and cppcheck read: a build folder of clang, where only what is generated is ever built, and one
# command for each file, however many programs it is part of.
need_configured() {
	local dir=build-lint
	[ -e "$dir/build.ninja" ] || CC=clang-14 meson setup "$dir" -Doptimization=0 >/dev/null || return 1
	ninja -C "$dir" -t targets all |
		sed -n 's/^\([^ ]*\.\(h\|inc\)\): CUSTOM_COMMAND.*/\1/p' | xargs ninja -C "$dir" >/dev/null || return 1
	mkdir -p "$dir/once"
	python3 - "$dir" <<-'END'
		import json, os, sys
		folder = sys.argv[1]
		commands = {}
		for command in json.load(open(folder + "/compile_commands.json")):
		    path = os.path.relpath(os.path.join(command["directory"], command["file"]))
		    if path.endswith(".c") and not path.startswith((folder, "tests/")):
		        commands.setdefault(path, command)
		with open(folder + "/once/compile_commands.json", "w") as out:
		    json.dump(list(commands.values()), out)
		with open(folder + "/once/files", "w") as out:
		    out.writelines(path + "\n" for path in commands)
	END
}

lint_format() { sources | xargs clang-format-14 --dry-run -Werror; }

lint_layering() { sh tests/layering.sh; }

# Sourced files are read on their own, and commands for another shell are quoted whole. Under guest-kernel also what
# its two scripts have: a byte changed there is a kernel built again.
shell_disabled=SC1090,SC1091,SC2016
shell_disabled_kernel=$shell_disabled,SC2015,SC2046,SC2128,SC2178

lint_shell() {
	{
		git ls-files '*.sh' dev .ci/run tests/lab/exec tests/lab/second ':!guest-kernel'
	} | while read -r file; do [ ! -f "$file" ] || echo "$file"; done |
		xargs -n 16 -P "$jobs" shellcheck -x -P SCRIPTDIR -e "$shell_disabled" || return 1
	git ls-files 'guest-kernel/*.sh' | xargs shellcheck -x -P SCRIPTDIR -e "$shell_disabled_kernel"
}

tidy_one() { # FILE BASE-KEY
	local mark
	mark=$cache/lint/tidy/$( (echo "$2"; cat "$1") | sha256sum | cut -c1-32)
	[ ! -e "$mark" ] || return 0
	clang-tidy-14 --quiet -p build-lint/once "$1" 2>/dev/null || return 1
	: >"$mark"
}

lint_tidy() {
	local base
	need_configured || return 1
	mkdir -p "$cache/lint/tidy"
	base=$({ cat .clang-tidy meson.build; git ls-files '*.h' | xargs cat; clang-tidy-14 --version; } | sha256sum)
	export -f tidy_one
	export cache
	xargs -P "$jobs" -I{} bash -c 'tidy_one "$1" "$2"' - {} "$base" <build-lint/once/files
}

# readdir and the like: as in .clang-tidy, of one thread only.
lint_cppcheck() {
	need_configured || return 1
	mkdir -p "$cache/lint/cppcheck"
	# In that folder, or it does not find a single header of ours. It sees neither through what owns (base/own.h) nor
	# through a system call's wrapper: leaks and what is not set are the others' to find.
	(cd build-lint && cppcheck --quiet -j "$jobs" --error-exitcode=1 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem --suppress=unmatchedSuppression --suppress='*:*.pb-c.*' \
		--suppress=memleak --suppress=uninitvar \
		--suppress=readdirCalled --suppress=getpwuidCalled --suppress=getgrgidCalled \
		--library=posix --std=c11 --cppcheck-build-dir="$cache/lint/cppcheck" \
		--project=once/compile_commands.json)
}

# Leaks are LeakSanitizer's: gcc 12 loses what is stored behind a pointer. Not optimised, because the optimiser moves
# stores behind the analyzer's back; not initialised by the compiler, because that would hide what is looked for.
lint_analyzer() {
	[ -e build-analyzer/build.ninja ] ||
		meson setup build-analyzer -Dtests=disabled -Dwerror=true -Doptimization=0 \
			-Dc_args='-fanalyzer -Wno-analyzer-malloc-leak -ftrivial-auto-var-init=uninitialized' || return 1
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
