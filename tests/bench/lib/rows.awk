# Rows of a bench (frame.sh) as a table, and as JSON in the file `json`. The ratio is above 1 where katavm is better.
function median(list,   n, i, j, t, v) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
{
	if (!($2 in unit)) names[++count] = $2
	unit[$2] = $3
	better[$2] = $4
	ours[$2] = ours[$2] " " $5
	theirs[$2] = theirs[$2] " " $6
}
END {
	printf "  %-32s %12s %12s %8s  %s\n", "", "katavm", "peer", "ratio", "unit"
	for (i = 1; i <= count; i++) {
		name = names[i]
		a = median(ours[name])
		b = median(theirs[name])
		good = better[name] == "higher" ? a : b
		bad = better[name] == "higher" ? b : a
		ratio = bad > 0 ? sprintf("%.3f", good / bad) : "null"
		printf "  %-32s %12.6g %12.6g %8s  %s\n", name, a, b, ratio, unit[name]
		rows = rows sprintf("%s\n  {\"name\":\"%s\",\"unit\":\"%s\",\"katavm\":%.6g,\"peer\":%.6g,\"ratio\":%s}", \
			i > 1 ? "," : "", name, unit[name], a, b, ratio)
	}
	printf "{\"rows\":[%s\n]}\n", rows > json
}
