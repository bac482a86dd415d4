# Reads the traces of katavm's runs and the times of the peer's; prints a table, and writes JSON to the file `json`.
function median(list, n,   i, j, t, v) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return v[int((n + 1) / 2)]
}
function field(name,   m) {
	if (!match($0, "\"" name "\":\"?[^,\"}]*")) return ""
	m = substr($0, RSTART, RLENGTH)
	sub(/^"[^"]*":"?/, "", m)
	return m
}
function row(key, what, value, format) {
	printf "  %-24s %12s  %s\n", key, sprintf(format, value), what
	out = out sprintf("%s\n  \"%s\": " format, out == "" ? "" : ",", key, value)
}
function finish_run(   i) {
	if (!("total" in at)) return
	add("vmm_to_entry_ims", at["guest_entry"] - at["vmm_start"])
	add("vmm_to_init_ims", at["guest_init"] - at["vmm_start"])
	add("agent_hello_ims", at["agent_hello"] - at["vmm_start"])
	add("process_start_ims", at["process_exec"] - at["katavm_start"])
	add("exit_seen_ims", at["exit_seen"] - at["katavm_start"])
	add("run_total_ims", at["total"])
	add("run_network_ims", at["network"])
	for (i in count) counts[i] = counts[i] " " count[i]
	delete at
	delete count
}
function add(key, ns) { times[key] = times[key] " " ns / 1e6 }

FILENAME ~ /qemu$/ { add("qemu_microvm_init_ims", $1); next }
FNR == 1 { finish_run() }
field("stage") != "" { at[field("stage")] = field("ns") }
field("count") != "" { count[field("count")] = field("value") }
END {
	finish_run()
	print "katavm run IMAGE /bin/true, exact mode, median:"
	row("vmm_to_entry_ims", "VMM asked for -> first guest instruction", median(times["vmm_to_entry_ims"]), "%.2f")
	row("vmm_to_init_ims", "VMM asked for -> guest init", median(times["vmm_to_init_ims"]), "%.2f")
	row("agent_hello_ims", "VMM asked for -> agent connected", median(times["agent_hello_ims"]), "%.2f")
	row("process_start_ims", "katavm started -> container process's first instruction", median(times["process_start_ims"]), "%.2f")
	row("exit_seen_ims", "katavm started -> exit status known", median(times["exit_seen_ims"]), "%.2f")
	row("run_total_ims", "katavm started -> ended, seen by its caller", median(times["run_total_ims"]), "%.2f")
	row("run_network_ims", "the same on the default network", median(times["run_network_ims"]), "%.2f")
	row("exits_to_hello", "user-space exits, kernel entry -> agent connected", median(counts["exits_to_hello"]), "%d")
	row("vmm_private_kib", "memory of the VMM beyond guest RAM", median(counts["vmm_private_kib"]), "%d")
	row("guest_touched_kib", "guest memory in use at agent connected", median(counts["guest_touched_kib"]), "%d")
	row("qemu_microvm_init_ims", "QEMU microvm, same kernel: started -> init's line", median(times["qemu_microvm_init_ims"]), "%.2f")
	printf "{%s\n}\n", out > json
}
