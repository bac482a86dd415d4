/* The runtime's side: start the VMM process, speak to it, see it end. */
#include "base/own.h"
#include "base/sys.h"
#include "vmm/control.h"
#include "vmm/kvm.h"
#include "vmm/process_private.h"
#include "vmm/share.h"
#include "vmm/vhost.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void describe_death(const struct vmm *vmm, char *text, size_t size)
{
	siginfo_t info = { 0 };
	long r;

	/* Its socket closed because it ended; one that closed it alone is ended here. */
	(void)SYS(pidfd_send_signal, vmm->child.pidfd, SIGKILL, NULL, 0U);
	r = SYS_RETRY(waitid, P_PIDFD, (id_t)vmm->child.pidfd, &info, WEXITED | WNOWAIT);
	if (r < 0)
		(void)snprintf(text, size, "the VMM process is gone");
	else if (info.si_code == CLD_EXITED)
		(void)snprintf(text, size, "the VMM process ended with status %d", info.si_status);
	else
		(void)snprintf(text, size, "the VMM process was killed by signal %d (SIG%s)",
			       info.si_status, sigabbrev_np(info.si_status));
}

static int start_vm(struct vmm *vmm, const struct vmm_config *config, struct error *err)
{
	struct control_message message;
	int fds[PACKET_MAX_FDS], r;
	char text[128];
	size_t count;

	r = control_pack_config(config, vmm->kvm_fd, &message, fds, &count, err);
	if (r < 0)
		return r;
	r = control_send(vmm->socket, &message, fds, count);
	if (r < 0 && r != -EPIPE) /* gone: it may have said why */
		return error_set(err, r, "VMM: hand over its configuration: %s", sys_text(r));
	r = control_receive(vmm->socket, true, &message, fds, &count);
	if (r == 0) {
		describe_death(vmm, text, sizeof text);
		return error_set(err, -EPIPE, "VMM: start: %s", text);
	}
	if (r < 0 || message.kind != CONTROL_READY)
		return error_set(err, -EPROTO, "VMM: start: it answered nonsense");
	if (message.body.result.code < 0)
		return error_set(err, message.body.result.code, "%s", message.body.result.text);
	return 0;
}

static int start_with_shares(struct vmm *vmm, const struct vmm_config *config, struct error *err)
{
	struct vmm_config with_shares;
	own_fd socket = -EBADF;
	int r;

	if (config->share_count == 0)
		return start_vm(vmm, config, err);
	if (config->share_count > VMM_MAX_SHARES)
		return error_set(err, -EINVAL, "%zu shared folders: %d are possible",
				 config->share_count, VMM_MAX_SHARES);
	r = share_server_start(config, &vmm->shares, &socket, err);
	if (r < 0)
		return r;
	with_shares = *config;
	with_shares.share_socket = socket;
	return start_vm(vmm, &with_shares, err);
}

int vmm_start(struct vmm *vmm, const struct vmm_config *config, struct error *err)
{
	struct vmm_config with_vhost;
	int r = vhost_open(config, &with_vhost, err);

	if (r < 0)
		return r;
	r = start_with_shares(vmm, &with_vhost, err);
	vhost_close(&with_vhost);
	return r;
}

int vmm_create(struct vmm **out, struct error *err)
{
	struct vmm *vmm = calloc(1, sizeof *vmm);
	own_fd theirs = -EBADF;
	int pair[2], r;

	if (!vmm)
		return error_set(err, -ENOMEM, "VMM: no memory");
	vmm->socket = vmm->kvm_fd = -EBADF;
	vmm->limit_ms = ANSWER_LIMIT_MS;
	vmm->kvm_fd = kvm_open(err);
	r = vmm->kvm_fd < 0 ? vmm->kvm_fd : 0;
	if (r == 0) {
		r = (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
		if (r < 0)
			(void)error_set(err, r, "VMM: control socket: %s", sys_text(r));
	}
	if (r == 0) {
		vmm->socket = pair[0];
		theirs = pair[1];
		r = spawn_role("katavm-vmm", theirs, &vmm->child, err);
		close_fd(&theirs); /* the child's copy is the last: its end is our end of file */
	}
	if (r < 0) {
		vmm_destroy(vmm);
		return r;
	}
	*out = vmm;
	return 0;
}

int vmm_event_fd(const struct vmm *vmm)
{
	return vmm->socket;
}

static void forget_port(struct vmm *vmm, uint32_t port)
{
	for (size_t i = 0; i < vmm->bound_count; i++)
		if (vmm->bound[i] == port) {
			vmm->bound[i] = vmm->bound[--vmm->bound_count];
			return;
		}
}

static void fill_death(const struct vmm *vmm, struct vmm_event *event)
{
	*event = (struct vmm_event){ .kind = VMM_EVENT_ENDED,
				     .end = VMM_END_KILLED,
				     .time_ns = sys_monotonic_ns() };
	describe_death(vmm, event->text, sizeof event->text);
}

/* False: nothing came, or nothing that anybody has to hear of now; there may be more. */
static bool receive_event(struct vmm *vmm, struct vmm_event *event)
{
	struct control_message message;
	int fds[PACKET_MAX_FDS], r = vmm->lost ? -EPROTO : 0;
	size_t count;

	for (unsigned i = 0; r == 0; i++) {
		if (i == LATE_ANSWERS_A_TURN)
			return false;
		r = control_receive(vmm->socket, false, &message, fds, &count);
		if (r == -EAGAIN)
			return false;
		if (r != 1)
			break;
		if (message.kind == CONTROL_EVENT) {
			*event = message.body.event;
			return true;
		}
		r = question_late_answer(vmm, &message, event);
		if (r == 1)
			return true;
	}
	fill_death(vmm, event); /* gone, or no longer ours to trust */
	return true;
}

int vmm_next_event(struct vmm *vmm, struct vmm_event *event)
{
	struct event_node *first = vmm->waiting;

	if (vmm->ended)
		return 0;
	if (first) {
		*event = first->event;
		vmm->waiting = first->next;
		vmm->waiting_count--;
		free(first);
	} else if (!receive_event(vmm, event)) {
		return 0;
	}
	if (event->kind == VMM_EVENT_CONNECTED)
		forget_port(vmm, event->port);
	vmm->ended = event->kind == VMM_EVENT_ENDED;
	return 1;
}

static int send_port(const struct vmm *vmm, enum control_kind kind, struct control_port port,
		     int fd, struct error *err)
{
	struct control_message message = { .kind = kind };
	int r;

	message.body.port = port;
	r = control_send(vmm->socket, &message, &fd, 1);
	if (r < 0)
		return error_set(err, r, "VMM: port %u: %s", port.port, sys_text(r));
	return 0;
}

int vmm_bind_port(struct vmm *vmm, uint32_t port, int fd, enum vmm_stream stream, struct error *err)
{
	int r;

	for (size_t i = 0; i < vmm->bound_count; i++)
		if (vmm->bound[i] == port)
			return error_set(err, -EEXIST, "VMM: port %u is bound already", port);
	if (vmm->bound_count == MAX_BOUND)
		return error_set(err, -ENOSPC, "VMM: %d ports are bound already", MAX_BOUND);
	r = send_port(vmm, CONTROL_BIND,
		      (struct control_port){ .port = port, .stream = (uint32_t)stream }, fd, err);
	if (r == 0)
		vmm->bound[vmm->bound_count++] = port;
	return r;
}

int vmm_listen_port(struct vmm *vmm, uint32_t port, int listen_fd, struct error *err)
{
	return send_port(vmm, CONTROL_LISTEN, (struct control_port){ .port = port }, listen_fd,
			 err);
}

pid_t vmm_pid(const struct vmm *vmm)
{
	return vmm->child.pid;
}

static void release(struct vmm *vmm)
{
	close_fd(&vmm->socket);
	close_fd(&vmm->kvm_fd);
	while (vmm->waiting) {
		struct event_node *node = vmm->waiting;

		vmm->waiting = node->next;
		free(node);
	}
	free(vmm);
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	spawn_end(&vmm->child);
	spawn_end(&vmm->shares);
	release(vmm);
}

/* Nothing is closed and nobody is killed: both would wake the VMM now, and where CPUs are few its
 * teardown would run before this process's own end. That end does both (PR_SET_PDEATHSIG). */
void vmm_abandon(struct vmm *vmm)
{
	const struct sched_param unused = { 0 };

	if (!vmm)
		return;
	/* when our socket closes, it shall not push us aside */
	(void)SYS(sched_setscheduler, vmm->child.pid, SCHED_BATCH, &unused);
}
