#!/bin/bash
# ./dev clean: removes what was built in the checkout and ends its lab. The cache, which other checkouts use, stays.
set -eu
. "$(dirname "$0")/common.sh"
bash "$lab_dir/lab.sh" --stop
rm -rf "$top"/build "$top"/build-* "$out"
say "removed build folders and out/; what is expensive to make again is in $cache"
