#!/bin/bash
# The agent without a virtual machine: PID 1 of namespaces of its own, driven by tests/agent/scenarios.c.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
sh "$checkout/tests/agent/run" "$checkout/build" >"$work/said" 2>&1
status=$?
grep -vE '^(listening|[0-9]+ failures)$' "$work/said"
if [ "$status" = 0 ] && grep -q '^0 failures$' "$work/said"; then pass "the agent ends when it is told to"; else
	{ echo "status $status"; tail -n 20 "$work/said"; } | fail "the agent ends when it is told to"; fi
