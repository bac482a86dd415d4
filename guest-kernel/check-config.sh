#!/bin/sh
# Does a kernel's .config keep every line of the fragments, promises and refusals alike?
# usage: check-config.sh CONFIG FRAGMENT...
# Where fragments disagree, the later one counts. Names each line that got lost, and fails.
set -eu
config=$1
shift
awk -v config="$config" '
  function name(line) { sub(/^# /, "", line); sub(/[= ].*/, "", line); return line }
  /^CONFIG_[A-Z0-9a-z_]+=/ || /^# CONFIG_[A-Z0-9a-z_]+ is not set$/ { wanted[name($0)] = $0; from[name($0)] = FILENAME; next }
  /^#/ || /^$/ { next }
  { printf "%s:%d: neither a setting nor a comment: %s\n", FILENAME, FNR, $0; bad = 1 }
  END {
    while ((getline line < config) > 0)
      if (line ~ /^CONFIG_/) { have[name(line)] = line; lines++ }
    if (!lines) { printf "%s: not a kernel configuration\n", config; exit 1 }
    for (n in wanted) {
      refused = wanted[n] ~ /^#/
      if (!refused && have[n] != wanted[n]) { printf "%s: promised but lost: %s\n", from[n], wanted[n]; bad = 1 }
      if (refused && n in have) { printf "%s: refused but in: %s\n", from[n], have[n]; bad = 1 }
    }
    exit bad
  }' "$@"
