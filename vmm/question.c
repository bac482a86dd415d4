/*
 * What the runtime asks the VMM process. A question is given up when it is not answered in time;
 * its answer may come much later, and then says what became of the VM: of disks that is told as an
 * event, all else may be asked again.
 */
#include "base/sys.h"
#include "vmm/control.h"
#include "vmm/process_private.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct awaited *find_awaited(struct vmm *vmm, uint32_t number)
{
	struct awaited *end = vmm->awaited + MAX_AWAITED, *at = vmm->awaited;

	while (at < end && at->number != number)
		at++;
	return at < end ? at : NULL;
}

bool vmm_disk_is_awaited(const struct vmm *vmm, const char serial[VMM_SERIAL_SIZE])
{
	for (size_t i = 0; i < MAX_AWAITED; i++)
		if (vmm->awaited[i].number != 0 &&
		    memcmp(vmm->awaited[i].serial, serial, VMM_SERIAL_SIZE) == 0)
			return true;
	return false;
}

int question_late_answer(struct vmm *vmm, const struct control_message *message,
			 struct vmm_event *event)
{
	struct awaited *awaited = message->number ? find_awaited(vmm, message->number) : NULL;

	if (message->kind != CONTROL_DUMPED && message->kind != CONTROL_STATS_ARE &&
	    message->kind != CONTROL_MEMORY_IS && message->kind != CONTROL_DISK_DONE &&
	    message->kind != CONTROL_IS_ENDING)
		return -EPROTO;
	if (!awaited || message->kind != CONTROL_DISK_DONE)
		return 0;
	*event = (struct vmm_event){ .kind = VMM_EVENT_DISK,
				     .time_ns = sys_monotonic_ns(),
				     .change = awaited->change,
				     .code = message->body.result.code,
				     .value = message->body.result.value };
	memcpy(event->serial, awaited->serial, sizeof event->serial);
	*awaited = (struct awaited){ 0 };
	return 1;
}

static int keep_event(struct vmm *vmm, const struct vmm_event *event)
{
	struct event_node *node, **last = &vmm->waiting;

	if (vmm->waiting_count == MAX_WAITING)
		return -EPROTO;
	node = calloc(1, sizeof *node);
	if (!node)
		return -ENOMEM;
	node->event = *event;
	while (*last)
		last = &(*last)->next;
	*last = node;
	vmm->waiting_count++;
	return 0;
}

static int keep_late_answer(struct vmm *vmm, const struct control_message *message)
{
	struct vmm_event event;
	int r = question_late_answer(vmm, message, &event);

	return r == 1 ? keep_event(vmm, &event) : r;
}

static uint32_t next_number(struct vmm *vmm)
{
	vmm->asked += vmm->asked == UINT32_MAX ? 2 : 1;
	return vmm->asked;
}

/* However much comes, at until_ns it is over. */
static bool is_readable(const struct vmm *vmm, uint64_t until_ns)
{
	struct pollfd poll_fd = { .fd = vmm->socket, .events = POLLIN };
	uint64_t now = sys_monotonic_ns();

	return now < until_ns &&
	       SYS_RETRY(poll, &poll_fd, 1, (int)((until_ns - now) / 1000000 + 1)) > 0;
}

/* 1: the answer is in *message. 0: it was something else, which is kept. */
static int receive_answer(struct vmm *vmm, struct control_message *message,
			  enum control_kind answer, uint32_t number)
{
	int fds[PACKET_MAX_FDS], r;
	size_t count;

	r = control_receive(vmm->socket, true, message, fds, &count);
	if (r == 0)
		return -EPIPE;
	if (r < 0)
		return r;
	if (message->kind == CONTROL_EVENT)
		return keep_event(vmm, &message->body.event);
	if (message->kind == answer && message->number == number)
		return 1;
	return keep_late_answer(vmm, message);
}

/* Sends a question and waits for its answer; events that come before it are kept. */
static int ask(struct vmm *vmm, struct control_message *message, const int *fd,
	       enum control_kind answer, const char *what, struct error *err)
{
	uint64_t until_ns = sys_monotonic_ns() + (uint64_t)vmm->limit_ms * 1000000;
	uint32_t number = next_number(vmm);
	int r;

	message->number = number;
	r = vmm->lost ? -EPROTO : control_send(vmm->socket, message, fd, fd ? 1 : 0);
	while (r == 0) {
		if (!is_readable(vmm, until_ns))
			return error_set(err, -ETIMEDOUT, "VMM: %s: it does not answer", what);
		r = receive_answer(vmm, message, answer, number);
	}
	if (r == 1)
		return 0;
	if (r == -EPROTO)
		vmm->lost = true;
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

int vmm_end_guest(struct vmm *vmm, struct error *err)
{
	struct control_message message = { .kind = CONTROL_END_GUEST };

	return ask(vmm, &message, NULL, CONTROL_IS_ENDING, "end", err);
}

static int ask_disk(struct vmm *vmm, enum vmm_disk_change change, const struct vmm_disk *disk,
		    uint64_t *value, struct error *err)
{
	static const enum control_kind kinds[] = { [VMM_DISK_ADDED] = CONTROL_ADD_DISK,
						   [VMM_DISK_REMOVED] = CONTROL_REMOVE_DISK,
						   [VMM_DISK_RESIZED] = CONTROL_RESIZE_DISK };
	struct control_message message = { .kind = kinds[change] };
	struct awaited *place = find_awaited(vmm, 0);
	int r;

	if (!place)
		return error_set(err, -EBUSY, "VMM: disk: it has not answered %d questions",
				 MAX_AWAITED);
	message.body.disk.rate = disk->rate;
	message.body.disk.read_only = disk->read_only;
	memcpy(message.body.disk.serial, disk->serial, VMM_SERIAL_SIZE);
	r = ask(vmm, &message, change == VMM_DISK_ADDED ? &disk->fd : NULL, CONTROL_DISK_DONE,
		"disk", err);
	if (r == -ETIMEDOUT) {
		*place = (struct awaited){ .number = vmm->asked, .change = change };
		memcpy(place->serial, disk->serial, sizeof place->serial);
	}
	if (r == 0 && message.body.result.code < 0)
		r = error_set(err, message.body.result.code, "%s", message.body.result.text);
	if (r == 0)
		*value = message.body.result.value;
	return r;
}

int vmm_add_disk(struct vmm *vmm, const struct vmm_disk *disk, unsigned *slot, struct error *err)
{
	uint64_t value;
	int r = ask_disk(vmm, VMM_DISK_ADDED, disk, &value, err);

	if (r == 0)
		*slot = (unsigned)value;
	return r;
}

int vmm_remove_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], struct error *err)
{
	struct vmm_disk disk = { .fd = -1 };
	uint64_t unused;

	memcpy(disk.serial, serial, sizeof disk.serial);
	return ask_disk(vmm, VMM_DISK_REMOVED, &disk, &unused, err);
}

int vmm_resize_disk(struct vmm *vmm, const char serial[VMM_SERIAL_SIZE], uint64_t *bytes,
		    struct error *err)
{
	struct vmm_disk disk = { .fd = -1 };

	memcpy(disk.serial, serial, sizeof disk.serial);
	return ask_disk(vmm, VMM_DISK_RESIZED, &disk, bytes, err);
}
