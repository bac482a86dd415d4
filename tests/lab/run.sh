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
# shellcheck disable=SC2016
"${lab[@]}" sh -c 'echo "host:   Linux $(uname -r)"'
ready=$(date +%s%N)
trace=$results/run.trace
mkdir -p "$results"
# shellcheck disable=SC2016
"${lab[@]}" katavm run --rm --trace "$trace" "oci-archive:$archive" sh -c '
	. /etc/os-release
	echo "inside: Linux $(uname -r), $PRETTY_NAME"
	grep -E "MemTotal|MemAvailable" /proc/meminfo
	echo "processors: $(nproc); process 1: $(tr "\0\n\t" "   " </proc/1/cmdline | cut -c1-60)"'
end=$(date +%s%N)

# The trace is one JSON object a line: a stage and when it was reached, in ns.
awk -F '[":,}]+' '
	$2 == "stage" { at[$3] = $5 / 1e6 }
	function took(from, to) { return sprintf("%.0f", at[to] - at[from]) }
	END {
		printf "time:   image and VMM %s ms, guest kernel %s, agent %s, container %s, process %s, end %s\n",
			took("vmm_start", "guest_entry"), took("guest_entry", "guest_init"),
			took("guest_init", "agent_hello"), took("agent_hello", "process_exec"),
			took("process_exec", "exit_seen"), took("exit_seen", "end")
	}' "$trace"
say "host ready in $(((ready - start) / 1000000)) ms, container in $(((end - ready) / 1000000)) ms; try ./dev run -it oci-archive:$archive bash"
