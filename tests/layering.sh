#!/bin/sh
# Who may include whom: ARCHITECTURE.md's table of layers. Each line below is a folder and what its files may name in
# an #include "…", beside the folder itself. One pass of grep over the tree, so that it costs nothing.
set -u
rules='
base
devices base/
arch base/
vmm base/ devices/ arch/
runtime base/ vmm/vmm.h agent/protocol/ syscall_filter.inc
agent base/
'
grep -rn --include='*.[ch]' '^#include "' base devices arch vmm runtime agent | awk -v rules="$rules" '
BEGIN {
	n = split(rules, lines, "\n")
	for (i = 1; i <= n; i++) {
		split(lines[i], words, " ")
		if (words[1] != "") allowed[words[1]] = lines[i] " " words[1] "/"
	}
}
{
	split($0, at, ":")
	folder = at[1]
	sub(/\/.*/, "", folder)
	name = $0
	sub(/^[^"]*"/, "", name)
	sub(/".*/, "", name)
	seen++
	count = split(allowed[folder], prefix, " ")
	for (i = 2; i <= count; i++)
		if (index(name, prefix[i]) == 1) next
	print at[1] ":" at[2] ": " folder "/ must not include " name
	bad = 1
}
END {
	if (seen < 10) { print "layering: no includes found: run from the top of the tree"; exit 1 }
	exit bad
}'
