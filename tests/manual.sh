#!/bin/bash
# manual.sh KATAVM: each command's --help and man page name the same flags, the page has no error that
# man(1) would show, and the completion scripts are ones their shells can read.
set -u
katavm=$1
bad=0
fail() { echo "manual: $*"; bad=1; }

flags_of_help() { sed -n 's/^  \(-.,\|   \) --\([a-z0-9-]*\).*/\2/p' | sort; }
flags_of_page() {
	sed -n '/^\.SH OPTIONS/,/^\.SH/s/.*\\fB\\-\\-\([^ ]*\)\\fR.*/\1/p' | sed 's/\\-/-/g' | sort
}

commands=$("$katavm" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\( [a-z]*\)\?\)  .*/\1/p')
[ "$(wc -w <<<"$commands")" -ge 4 ] || fail "--help lists only: $commands"
while read -r command; do
	# shellcheck disable=SC2086 # it may be two words
	help=$("$katavm" $command --help) || fail "$command --help fails"
	page=$("$katavm" man "$command") || fail "man $command fails"
	difference=$(diff <(flags_of_help <<<"$help") <(flags_of_page <<<"$page")) ||
		fail "$command: --help and the page differ: $difference"
	awk 'length > 100 { print "too long: " $0; exit 1 }' <<<"$help" || fail "$command --help"
	if command -v groff >/dev/null; then
		complaints=$(groff -man -ww -z - <<<"$page" 2>&1)
		[ -z "$complaints" ] || fail "$command: $complaints"
	fi
done <<<"$commands"

"$katavm" completion bash | bash -n || fail "completion bash"
words=$(bash -c 'eval "$("$1" completion bash)"; COMP_WORDS=(katavm run --pul); COMP_CWORD=2; _katavm
	echo "${COMPREPLY[*]}"' - "$katavm")
[ "$words" = --pull ] || fail "completion of run --pul gives: $words"
words=$(bash -c 'eval "$("$1" completion bash)"; COMP_WORDS=(katavm run --pull ""); COMP_CWORD=3; _katavm
	echo "${COMPREPLY[*]}"' - "$katavm")
[ "$words" = "missing always never" ] || fail "completion of run --pull gives: $words"
words=$(bash -c 'eval "$("$1" completion bash)"; COMP_WORDS=(katavm volume cr); COMP_CWORD=2; _katavm
	echo "${COMPREPLY[*]}"' - "$katavm")
[ "$words" = create ] || fail "completion of volume cr gives: $words"
"$katavm" completion zsh | sed 1,2d | bash -n || fail "completion zsh"
"$katavm" completion fish | grep -q "seen_subcommand_from run' -l pull " || fail "completion fish"
"$katavm" completion tcsh 2>/dev/null && fail "completion for a shell nobody knows"
exit $bad
