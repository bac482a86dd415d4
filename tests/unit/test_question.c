/* What the VMM is asked, and answers that come late. The VMM is the other end of a socket. */
#include "arch/arch.h"
#include "base/own.h"
#include "vmm/process_private.h"
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

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

/* A VMM that never stops to answer what was asked once holds up neither the question after it nor
 * who looks for events. */
Test(question, late_answers_get_their_share)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct vmm_event event;
	uint64_t bytes = 0;

	open_vmm();
	poll_fd.fd = vmm.socket;
	for (unsigned i = 0; i <= LATE_ANSWERS_A_TURN; i++)
		send_result(CONTROL_MEMORY_IS, 0, 0, 0);
	send_closed(7);
	vmm.limit_ms = 0;
	cr_assert_eq(resize(&bytes), -ETIMEDOUT);
	cr_assert_eq(vmm_next_event(&vmm, &event), 0);
	cr_assert_eq(poll(&poll_fd, 1, 0), 1);
	cr_assert_eq(vmm_next_event(&vmm, &event), 1);
	cr_assert_eq(event.kind, VMM_EVENT_CLOSED);
	close_vmm();
}

/* ---- a VMM that was taken over, as a process of its own ---- */

/* It says `message` without end. */
static void babble(const struct control_message *message)
{
	while (control_send(other, message, NULL, 0) == 0)
		;
}

/* Whatever is asked, there is a device. */
static void invent_devices(const struct control_message *message)
{
	struct control_message answer = *message;
	int fds[PACKET_MAX_FDS];
	size_t count;

	while (control_receive(other, true, &answer, fds, &count) == 1) {
		uint32_t number = answer.number;

		answer = *message;
		answer.number = number;
		(void)control_send(other, &answer, NULL, 0);
	}
}

static pid_t start_hostile(void (*run)(const struct control_message *message),
			   const struct control_message *message)
{
	pid_t pid;

	open_vmm();
	pid = fork();
	if (pid == 0) {
		close(vmm.socket);
		run(message);
		_exit(0);
	}
	close(other);
	other = -1;
	vmm.child.pidfd = pidfd_open(pid, 0);
	cr_assert_geq(vmm.child.pidfd, 0);
	return pid;
}

static void end_hostile(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	close(vmm.child.pidfd);
	close(vmm.socket);
}

/* A question is no occasion to fill the host's memory, and who tries is dead. */
Test(question, events_without_end_are_the_end)
{
	struct control_message message = { .kind = CONTROL_EVENT };
	struct vmm_event event;
	uint64_t bytes = 0;
	unsigned kept = 0;
	pid_t pid;

	message.body.event.kind = VMM_EVENT_CLOSED;
	pid = start_hostile(babble, &message);
	vmm.limit_ms = 600000;
	cr_assert_eq(resize(&bytes), -EPROTO);
	cr_assert_eq(resize(&bytes), -EPROTO);
	while (vmm_next_event(&vmm, &event) == 1 && event.kind == VMM_EVENT_CLOSED)
		kept++;
	cr_assert_eq(kept, MAX_WAITING);
	cr_assert_eq(event.kind, VMM_EVENT_ENDED);
	cr_assert_eq(event.end, VMM_END_KILLED);
	cr_assert_eq(vmm_next_event(&vmm, &event), 0);
	end_hostile(pid);
}

Test(question, a_vm_has_no_more_devices_than_slots)
{
	struct control_message message = { .kind = CONTROL_STATS_ARE };
	int file = memfd_create("statistics", MFD_CLOEXEC);
	static char text[1 << 20];
	unsigned lines = 0;
	struct error err;
	pid_t pid;

	(void)strcpy(message.body.stats.name, "virtio-none");
	pid = start_hostile(invent_devices, &message);
	vmm.limit_ms = 600000;
	cr_assert_eq(vmm_write_stats(&vmm, file, &err), 0);
	cr_assert_gt(pread(file, text, sizeof text - 1, 0), 0);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	cr_assert_eq(lines, ARCH_MMIO_SLOTS);
	close(file);
	end_hostile(pid);
}
