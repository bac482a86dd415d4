# shellcheck shell=bash disable=SC2154,SC2034
# For checks of a container that runs for a while, read after lib.sh: one that does what it is told, line by line.
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small

said() { # LINE: within ten minutes
	for _ in $(seq 6000); do
		grep -qxF -- "$1" "$work/said" 2>/dev/null && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
start() { # OPTION... : the container; leaves $pid, and $vmm, its VMM's
	rm -f "$work/said" "$work/told"
	mkfifo "$work/told"
	# shellcheck disable=SC2016
	katavm run -q -i --timeout 600 "$@" "$image" sh -c \
		'echo ready; while read -r name line; do eval "$line"; echo; echo "done $name"; done' <"$work/told" >>"$work/said" 2>"$work/errors" &
	pid=$!
	exec 9>"$work/told"
	said ready
	vmm=$(pgrep -x -P "$pid" katavm-vmm)
}
tell() { # COMMAND, and waits for its end; leaves in $output, and in the file $work/said, what it said
	local name
	name=$(date +%s%N)
	: >"$work/said"
	echo "$name $1" >&9
	said "done $name"
	output=$(sed '$d' "$work/said") # the empty lines before it go, too
}
end() {
	exec 9>&-
	wait "$pid"
}
