#!/bin/bash
# ./dev bench NAME [ARGUMENT…]: builds, then runs tests/bench/NAME.sh, which measures in the instruction clock.
set -eu
. "$(dirname "$0")/common.sh"
names=$(find "$top/tests/bench" -maxdepth 1 -name '*.sh' -printf '%f\n' 2>/dev/null | sed 's/\.sh$//' | sort | tr '\n' ' ')
name=${1:-}
case $name in
'' | -* | */*) die "bench needs a name, one of: $names" ;;
esac
[ -e "$top/tests/bench/$name.sh" ] || die "there is no bench \"$name\"; there are: $names"
shift
bash "$lab_dir/build.sh"
exec bash "$top/tests/bench/$name.sh" "$@"
