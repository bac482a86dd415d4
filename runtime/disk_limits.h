#pragma once
#include "base/error.h"
#include "vmm/vmm.h"

/* How much of a disk a guest may use each second, as users write it: iops=NUMBER[:BURST] and
 * bps=SIZE[:BURST], one or both, separated by commas. flag names the flag in the error. */
int disk_limits_parse(const char *flag, const char *text, struct vmm_rate *out, struct error *err);
