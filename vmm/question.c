/* What the runtime asks the VMM process, and answers that come when nobody waits any more. */
#include "base/sys.h"
#include "vmm/control.h"
#include "vmm/process_private.h"

#include <poll.h>
#include <string.h>

enum { DUMP_TIMEOUT_MS = 5000 };

bool question_is_late_answer(enum control_kind kind)
{
	return kind == CONTROL_DUMPED || kind == CONTROL_STATS_ARE || kind == CONTROL_MEMORY_IS;
}

static int keep_event(struct vmm *vmm, const struct vmm_event *event)
{
	struct event_node *node = calloc(1, sizeof *node), **last = &vmm->waiting;

	if (!node)
		return -ENOMEM;
	node->event = *event;
	while (*last)
		last = &(*last)->next;
	*last = node;
	return 0;
}

/* Sends a question and waits for the answer of this kind; events that come before it are kept. */
static int ask(struct vmm *vmm, struct control_message *message, const int *fd,
	       enum control_kind answer, const char *what, struct error *err)
{
	int fds[PACKET_MAX_FDS], r;
	size_t count;

	r = control_send(vmm->socket, message, fd, fd ? 1 : 0);
	while (r == 0) {
		struct pollfd poll_fd = { .fd = vmm->socket, .events = POLLIN };

		if (SYS_RETRY(poll, &poll_fd, 1, DUMP_TIMEOUT_MS) <= 0)
			return error_set(err, -ETIMEDOUT, "VMM: %s: it does not answer", what);
		r = control_receive(vmm->socket, true, message, fds, &count);
		if (r == 0)
			r = -EPIPE;
		else if (r == 1 && message->kind == CONTROL_EVENT)
			r = keep_event(vmm, &message->body.event);
		else if (r == 1 && message->kind == answer)
			return 0;
		else if (r == 1)
			r = question_is_late_answer((enum control_kind)message->kind) ? 0 : -EPROTO;
	}
	return error_set(err, r, "VMM: %s: %s", what, sys_text(r));
}

int vmm_dump_log(struct vmm *vmm, int fd, struct error *err)
{
	struct control_message message = { .kind = CONTROL_DUMP_LOG };
	int r = ask(vmm, &message, &fd, CONTROL_DUMPED, "kernel log", err);

	if (r == 0 && message.body.result.code < 0)
		r = error_set(err, message.body.result.code, "%s", message.body.result.text);
	return r;
}

int vmm_device_stats(struct vmm *vmm, unsigned index, struct vmm_device_stats *out,
		     struct error *err)
{
	struct control_message message = { .kind = CONTROL_STATS, .body.device = index };
	int r = ask(vmm, &message, NULL, CONTROL_STATS_ARE, "statistics", err);

	if (r < 0 || !message.body.stats.name[0])
		return r;
	*out = message.body.stats;
	return 1;
}

int vmm_set_memory(struct vmm *vmm, uint64_t memory_mib, struct error *err)
{
	struct control_message message = { .kind = CONTROL_MEMORY, .body.memory_mib = memory_mib };
	int r = ask(vmm, &message, NULL, CONTROL_MEMORY_IS, "memory", err);

	if (r == 0 && message.body.result.code < 0)
		r = error_set(err, message.body.result.code, "%s", message.body.result.text);
	return r;
}

static int ask_disk(struct vmm *vmm, enum control_kind kind, const struct vmm_disk *disk,
		    uint64_t *value, struct error *err)
{
	struct control_message message = { .kind = kind };
	int r;

	message.body.disk.rate = disk->rate;
	message.body.disk.read_only = disk->read_only;
	memcpy(message.body.disk.serial, disk->serial, VMM_SERIAL_SIZE);
	r = ask(vmm, &message, kind == CONTROL_ADD_DISK ? &disk->fd : NULL, CONTROL_DISK_DONE,
		"disk", err);
	if (r == 0 && message.body.result.code < 0)
		r = error_set(err, message.body.result.code, "%s", message.body.result.text);
	if (r == 0)
		*value = message.body.result.value;
	return r;
}

int vmm_add_disk(struct vmm *vmm, const struct vmm_disk *disk, unsigned *slot, struct error *err)
{
	uint64_t value;
	int r = ask_disk(vmm, CONTROL_ADD_DISK, disk, &value, err);

	if (r == 0)
		*slot = (unsigned)value;
	return r;
}

int vmm_remove_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], struct error *err)
{
	struct vmm_disk disk = { .fd = -1 };
	uint64_t unused;

	memcpy(disk.serial, serial, sizeof disk.serial);
	return ask_disk(vmm, CONTROL_REMOVE_DISK, &disk, &unused, err);
}

int vmm_resize_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], uint64_t *bytes,
		    struct error *err)
{
	struct vmm_disk disk = { .fd = -1 };

	memcpy(disk.serial, serial, sizeof disk.serial);
	return ask_disk(vmm, CONTROL_RESIZE_DISK, &disk, bytes, err);
}
