/* What the VMM is asked, and answers that come late. The VMM is the other end of a socket. */
#include "base/own.h"
#include "vmm/process_private.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

static struct vmm vmm;
static int other; /* the VMM's end */

static void open_vmm(void)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	vmm = (struct vmm){
		.socket = pair[0], .kvm_fd = -EBADF, .limit_ms = 1, .child = { .pidfd = -EBADF }
	};
	other = pair[1];
}

static void close_vmm(void)
{
	close(vmm.socket);
	close(other);
}

static void send_result(enum control_kind kind, uint32_t number, int code, uint64_t value)
{
	struct control_message message = { .kind = kind, .number = number };

	message.body.result.code = code;
	message.body.result.value = value;
	(void)strcpy(message.body.result.text, code < 0 ? "said no" : "");
	cr_assert_eq(control_send(other, &message, NULL, 0), 0);
}

static void send_closed(uint32_t port)
{
	struct control_message message = { .kind = CONTROL_EVENT };

	message.body.event = (struct vmm_event){ .kind = VMM_EVENT_CLOSED, .port = port };
	cr_assert_eq(control_send(other, &message, NULL, 0), 0);
}

/* Takes the question and gives its number. */
static uint32_t question(enum control_kind kind)
{
	struct control_message message;
	int fds[PACKET_MAX_FDS];
	size_t count;

	cr_assert_eq(control_receive(other, true, &message, fds, &count), 1);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	cr_assert_eq(message.kind, kind);
	return message.number;
}

static int add(const char *name, unsigned *slot)
{
	struct vmm_disk disk = { .fd = other };
	struct error err;

	memcpy(disk.serial, name, strlen(name));
	return vmm_add_disk(&vmm, &disk, slot, &err);
}

static int resize(uint64_t *bytes)
{
	const char serial[VMM_SERIAL_SIZE] = "one";
	struct error err;

	return vmm_resize_disk(&vmm, serial, bytes, &err);
}

Test(question, an_answer_in_time)
{
	uint64_t bytes = 0;

	open_vmm();
	vmm.limit_ms = 60000;
	send_closed(7);
	send_result(CONTROL_DISK_DONE, 1, 0, 4096);
	cr_assert_eq(resize(&bytes), 0);
	cr_assert_eq(bytes, 4096);
	cr_assert_eq(question(CONTROL_RESIZE_DISK), 1);
	send_result(CONTROL_DISK_DONE, 2, -ENOENT, 0);
	cr_assert_eq(resize(&bytes), -ENOENT);
	cr_assert_eq(bytes, 4096);
	close_vmm();
}

Test(question, a_late_answer_ends_nothing)
{
	struct vmm_event event;
	uint64_t bytes = 0;
	struct error err;

	open_vmm();
	cr_assert_eq(resize(&bytes), -ETIMEDOUT);
	cr_assert_eq(vmm_set_memory(&vmm, 512, &err), -ETIMEDOUT);
	send_result(CONTROL_DISK_DONE, question(CONTROL_RESIZE_DISK), 0, 8192);
	send_result(CONTROL_MEMORY_IS, question(CONTROL_MEMORY), 0, 0);
	send_closed(7);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.kind, VMM_EVENT_DISK);
	cr_assert_eq(event.change, VMM_DISK_RESIZED);
	cr_assert_eq(event.value, 8192);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.kind, VMM_EVENT_CLOSED);
	cr_assert_eq(vmm_next_event(&vmm, &event), 0);
	close_vmm();
}

Test(question, a_late_answer_is_not_the_next_ones)
{
	struct vmm_event event;
	uint64_t bytes = 0;

	open_vmm();
	cr_assert_eq(resize(&bytes), -ETIMEDOUT);
	send_result(CONTROL_DISK_DONE, question(CONTROL_RESIZE_DISK), 0, 1024);
	send_result(CONTROL_DISK_DONE, 2, 0, 2048);
	vmm.limit_ms = 60000;
	cr_assert_eq(resize(&bytes), 0);
	cr_assert_eq(bytes, 2048);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1); /* came meanwhile, and was kept */
	cr_assert_eq(event.kind, VMM_EVENT_DISK);
	cr_assert_eq(event.value, 1024);
	cr_assert_eq(vmm_next_event(&vmm, &event), 0);
	close_vmm();
}

Test(question, a_disk_is_awaited_until_the_answer)
{
	const char one[VMM_SERIAL_SIZE] = "one", two[VMM_SERIAL_SIZE] = "two";
	struct vmm_event event;
	unsigned slot = 77;
	uint32_t number;

	open_vmm();
	cr_assert_eq(add("one", &slot), -ETIMEDOUT);
	cr_assert(vmm_disk_is_awaited(&vmm, one));
	cr_assert_not(vmm_disk_is_awaited(&vmm, two));
	cr_assert_eq(add("two", &slot), -ETIMEDOUT);
	cr_assert_eq(slot, 77);
	number = question(CONTROL_ADD_DISK);
	send_result(CONTROL_DISK_DONE, question(CONTROL_ADD_DISK), -ENOSPC, 0);
	send_result(CONTROL_DISK_DONE, number, 0, 5);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(memcmp(event.serial, two, sizeof two), 0);
	cr_assert_eq(event.code, -ENOSPC);
	cr_assert_not(vmm_disk_is_awaited(&vmm, two));
	cr_assert(vmm_disk_is_awaited(&vmm, one));
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.change, VMM_DISK_ADDED);
	cr_assert_eq(event.code, 0);
	cr_assert_eq(event.value, 5);
	cr_assert_not(vmm_disk_is_awaited(&vmm, one));
	close_vmm();
}

Test(question, no_more_than_can_be_remembered)
{
	uint64_t bytes = 0;

	open_vmm();
	for (int i = 0; i < MAX_AWAITED; i++)
		cr_assert_eq(resize(&bytes), -ETIMEDOUT);
	cr_assert_eq(resize(&bytes), -EBUSY);
	close_vmm();
}

/* What is no answer at all is no VMM of ours. */
Test(question, nonsense_is_the_end)
{
	struct vmm_event event;

	open_vmm();
	send_result(CONTROL_READY, 0, 0, 0);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.kind, VMM_EVENT_ENDED);
	cr_assert_eq(event.end, VMM_END_KILLED);
	close_vmm();
}

/* Only this side says what became of a disk. */
Test(question, the_vmm_makes_no_events_of_disks)
{
	struct control_message message = { .kind = CONTROL_EVENT };
	struct vmm_event event;

	open_vmm();
	message.body.event.kind = VMM_EVENT_DISK;
	cr_assert_eq(control_send(other, &message, NULL, 0), 0);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.kind, VMM_EVENT_ENDED);
	close_vmm();
}
