#!/bin/bash
# ./dev run [FLAGS IMAGE CMD…]: katavm run, in the lab where this machine has no hardware KVM. Without arguments it
# makes a Debian image and shows what its container sees.
set -eu
. "$(dirname "$0")/common.sh"
bash "$lab_dir/build.sh"
lab=(bash "$lab_dir/lab.sh")
if hardware_kvm; then
	say "this machine has hardware KVM: katavm runs on it directly"
else
	say "no hardware KVM here (no vmx or svm flag): katavm runs in the lab, an emulated host that has it"
	lab+=(--keep)
fi
[ $# -eq 0 ] || exec "${lab[@]}" katavm run "$@"

archive=$(bash "$lab_dir/demo-image.sh")
start=$(date +%s%N)
"${lab[@]}" sh -c 'echo "host:   Linux $(uname -r)"'
ready=$(date +%s%N)
# shellcheck disable=SC2016
"${lab[@]}" katavm run --rm "oci-archive:$archive" sh -c '
	. /etc/os-release
	echo "inside: Linux $(uname -r), $PRETTY_NAME"
	grep -E "MemTotal|MemAvailable" /proc/meminfo
	echo "processors: $(nproc); process 1: $(tr "\0" " " </proc/1/cmdline | cut -c1-60)"'
end=$(date +%s%N)
say "host ready in $(((ready - start) / 1000000)) ms, container in $(((end - ready) / 1000000)) ms; try ./dev run -it oci-archive:$archive bash"
