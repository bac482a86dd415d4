/* Statistics as text: one JSON object a line for each device. */
#include "arch/arch.h"
#include "base/sys.h"
#include "vmm/vmm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Terminal escapes and quotes have no place in a name; it may come from a VMM that was taken over.
 */
static void clean(const char *from, size_t size, char *out)
{
	size_t length = strnlen(from, size);

	for (size_t i = 0; i < length; i++)
		if (from[i] < ' ' || from[i] > '~' || from[i] == '"' || from[i] == '\\')
			out[i] = '?';
		else
			out[i] = from[i];
	out[length] = 0;
}

static int print_queue(const struct vmm_queue_stats *q, char *out, size_t size)
{
	return snprintf(out, size,
			"{\"size\":%u,\"kicks\":%llu,\"requests\":%llu,\"to_guest\":%llu,"
			"\"from_guest\":%llu,\"interrupts\":%llu,\"merged\":%llu,\"unwanted\":%llu,"
			"\"ring_avail\":%u,\"next_avail\":%u,\"avail_event\":%u,\"ring_used\":%u,"
			"\"next_used\":%u,\"used_event\":%u,\"ring_flags\":%u,\"in_flight\":%u,"
			"\"event_index\":%s,\"watching\":%s,\"broken\":%s}",
			q->size, (unsigned long long)q->kicks, (unsigned long long)q->requests,
			(unsigned long long)q->to_guest, (unsigned long long)q->from_guest,
			(unsigned long long)q->interrupts, (unsigned long long)q->merged,
			(unsigned long long)q->unwanted, q->ring_avail, q->next_avail,
			q->avail_event, q->ring_used, q->next_used, q->used_event, q->ring_flags,
			q->in_flight, q->event_index ? "true" : "false",
			q->watching ? "true" : "false", q->broken ? "true" : "false");
}

static int write_device(const struct vmm_device_stats *d, int fd)
{
	char name[VMM_DEVICE_NAME_SIZE + 1], serial[VMM_SERIAL_SIZE + 1], text[1024];
	int length, r;

	clean(d->name, sizeof d->name, name);
	clean(d->serial, sizeof d->serial, serial);
	length = snprintf(text, sizeof text,
			  "{\"slot\":%u,\"device\":\"%s\",\"serial\":\"%s\",\"active\":%s,"
			  "\"needs_reset\":%s,\"interrupt_status\":%u,\"acknowledged\":%llu,"
			  "\"delayed\":%llu,\"operations\":%u,\"queues\":[",
			  d->slot, name, serial, d->active ? "true" : "false",
			  d->needs_reset ? "true" : "false", d->interrupt_status,
			  (unsigned long long)d->acknowledged, (unsigned long long)d->delayed,
			  d->operations);
	r = sys_write_all(fd, text, (size_t)length);
	for (uint32_t i = 0; r == 0 && i < d->queue_count; i++) {
		r = i > 0 ? sys_write_all(fd, ",", 1) : 0;
		length = print_queue(&d->queues[i], text, sizeof text);
		if (r == 0)
			r = sys_write_all(fd, text, (size_t)length);
	}
	return r == 0 ? sys_write_all(fd, "]}\n", 3) : r;
}

int vmm_write_stats(struct vmm *vmm, int fd, struct error *err)
{
	struct vmm_device_stats stats;

	for (unsigned i = 0; i < ARCH_MMIO_SLOTS; i++) { /* whatever the VMM says */
		int r = vmm_device_stats(vmm, i, &stats, err);

		if (r < 1)
			return r;
		r = write_device(&stats, fd);
		if (r < 0)
			return error_set(err, r, "statistics: write: %s", sys_text(r));
	}
	return 0;
}
