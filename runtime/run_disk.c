/* The flags of `katavm run` about disks. */
#include "runtime/run_config.h"

#include "runtime/disk_limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_SIZE = 4096, SIZE_TEXT = 40 };

static const uint64_t MIB = UINT64_C(1) << 20;

/* SIZE[,LIMIT...] */
static int make_scratch(const char *value, struct run_config *out, struct error *err)
{
	size_t size = strcspn(value, ",");
	char text[SIZE_TEXT];
	int r;

	(void)snprintf(text, sizeof text, "%.*s", (int)(size < SIZE_TEXT ? size : 0), value);
	r = parse_bytes("disk", text, &out->disk_bytes, err);
	if (r < 0)
		return r;
	if (out->disk_bytes > UINT64_C(1) << 44)
		return error_set(err, -EINVAL, "--disk %s is too large", text);
	if (out->disk_bytes > 0 && out->disk_bytes < 16 * MIB)
		return error_set(err, -EINVAL, "--disk %s is too small: the least is 16m", text);
	if (value[size] == '\0')
		return 0;
	if (out->disk_bytes == 0)
		return error_set(err, -EINVAL, "--disk 0 is no disk that could have limits");
	return disk_limits_parse("disk", value + size + 1, &out->disk_rate, err);
}

int run_disk_make(const struct options *options, struct run_config *out, struct error *err)
{
	const char *disk = options_value(options, "disk");
	const char *slots = options_value(options, "disk-slots");
	uint64_t count = 0;
	int r;

	out->disk_bytes = 10240 * MIB;
	r = disk ? make_scratch(disk, out, err) : 0;
	if (r < 0)
		return r;
	out->disk_direct = options_flag(options, "disk-direct");
	if (out->disk_direct && (out->disk_bytes == 0 || out->disk_bytes % BLOCK_SIZE != 0))
		return error_set(err, -EINVAL,
				 "--disk-direct needs a --disk of whole blocks of 4k");
	if (slots && !parse_number(slots, VMM_MAX_SPARES, &count))
		return error_set(err, -EINVAL, "--disk-slots is a number up to %d, not \"%.40s\"",
				 VMM_MAX_SPARES, slots);
	out->disk_slots = (unsigned)count;
	return 0;
}
