#!/bin/bash
# check-config.sh notices promises that were lost, refusals that were ignored, and lines that are neither.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
check=$here/../check-config.sh
printf 'CONFIG_A=y\nCONFIG_N=64\n# CONFIG_OFF is not set\n' > "$dir/config"

expect() { # STATUS TEXT FRAGMENT-LINES
  printf '%b' "$3" > "$dir/fragment"
  local status=0 out
  out=$("$check" "$dir/config" "$dir/fragment" 2>&1) || status=$?
  [ "$status" = "$1" ] || { echo "expected status $1, got $status for: $3"; exit 1; }
  [[ $out == *"$2"* ]] || { echo "expected '$2' in: $out"; exit 1; }
}

expect 0 '' '# a comment\n\nCONFIG_A=y\nCONFIG_N=64\n# CONFIG_B is not set\n# CONFIG_OFF is not set\n'
expect 1 'promised but lost: CONFIG_B=y' 'CONFIG_B=y\n'
expect 1 'promised but lost: CONFIG_N=32' 'CONFIG_N=32\n'
expect 1 'refused but in: CONFIG_A=y' '# CONFIG_A is not set\n'
expect 1 'neither a setting nor a comment' 'A=y\n'
expect 0 '' '# CONFIG_A is not set\nCONFIG_A=y\n'
: > "$dir/config"
expect 1 'not a kernel configuration' 'CONFIG_A=y\n'
