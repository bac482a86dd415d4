/*
 * The VMM process: takes its configuration from the control socket, builds the machine, and serves
 * devices and control messages on one thread until the other end of the socket is gone. It outlives
 * its guest, so that the guest's memory can still be asked why it died. Not one path is opened.
 */
#include "base/container_of.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/io.h"
#include "vmm/control.h"
#include "vmm/machine.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* A start is over by then: it has its own order of who waits for whom. */
#define SETTLED_NS UINT64_C(1000000000)

struct server {
	int socket;
	struct io *io;
	struct machine *machine;
	struct io_op readable, settled;
	bool has_nets;
};

static void send_event(struct server *server, const struct vmm_event *event)
{
	struct control_message message = { .kind = CONTROL_EVENT };

	message.body.event = *event;
	message.body.event.time_ns = sys_monotonic_ns();
	(void)control_send(server->socket, &message, NULL, 0); /* gone: the socket's end says so */
}

static void send_result(int socket, enum control_kind kind, uint32_t number, int code,
			const char *text)
{
	struct control_message message = { .kind = kind, .number = number };

	message.body.result.code = code;
	(void)snprintf(message.body.result.text, sizeof message.body.result.text, "%s", text);
	(void)control_send(socket, &message, NULL, 0);
}

static void on_connected(void *context, uint32_t port)
{
	struct server *server = context;

	send_event(server,
		   &(struct vmm_event){ .kind = VMM_EVENT_CONNECTED,
					.port = port,
					.entered_ns = machine_entered_ns(server->machine),
					.exits = machine_exits(server->machine),
					.memory_kib = machine_memory_kib(server->machine) });
}

static void on_closed(void *context, uint32_t port, int write_error)
{
	send_event(context, &(struct vmm_event){ .kind = VMM_EVENT_CLOSED,
						 .port = port,
						 .written_error = write_error });
}

static void on_ended(void *context, enum vmm_end end, const char *text)
{
	struct vmm_event event = { .kind = VMM_EVENT_ENDED, .end = end };

	(void)snprintf(event.text, sizeof event.text, "%s", text);
	send_event(context, &event);
}

static void dump_log(const struct server *server, uint32_t number, int fd)
{
	struct error err = { 0 };
	int r = machine_dump_log(server->machine, fd, &err);

	send_result(server->socket, CONTROL_DUMPED, number, r, r < 0 ? err.text : "");
}

static void set_memory(const struct server *server, uint32_t number, uint64_t memory_mib)
{
	struct error err = { 0 };
	int r = machine_set_memory(server->machine, memory_mib, &err);

	send_result(server->socket, CONTROL_MEMORY_IS, number, r, r < 0 ? err.text : "");
}

static void send_stats(const struct server *server, uint32_t number, uint32_t device)
{
	struct control_message message = { .kind = CONTROL_STATS_ARE, .number = number };

	(void)machine_device_stats(server->machine, device, &message.body.stats);
	(void)control_send(server->socket, &message, NULL, 0);
}

/* The descriptor stays the caller's. */
static void serve_disk(const struct server *server, const struct control_message *message, int fd)
{
	struct control_message answer = { .kind = CONTROL_DISK_DONE, .number = message->number };
	struct control_result *result = &answer.body.result;
	struct error err = { 0 };
	struct vmm_disk disk = { .fd = fd,
				 .rate = message->body.disk.rate,
				 .read_only = message->body.disk.read_only };

	memcpy(disk.serial, message->body.disk.serial, sizeof disk.serial);
	if (message->kind == CONTROL_ADD_DISK)
		result->code = machine_add_disk(server->machine, &disk, &result->value, &err);
	else if (message->kind == CONTROL_REMOVE_DISK)
		result->code = machine_remove_disk(server->machine, disk.serial, &err);
	else
		result->code =
		    machine_resize_disk(server->machine, disk.serial, &result->value, &err);
	(void)snprintf(result->text, sizeof result->text, "%s", err.text);
	(void)control_send(server->socket, &answer, NULL, 0);
}

static void end_guest(const struct server *server, uint32_t number)
{
	machine_end_silent(server->machine);
	send_result(server->socket, CONTROL_IS_ENDING, number, 0, "");
}

/* A port that cannot be bound is refused to the guest, whose owner then sees it never connected. */
static void handle(struct server *server, const struct control_message *message, int *fd)
{
	const struct control_port *port = &message->body.port;
	int r = 0;

	if (message->kind == CONTROL_BIND)
		r = machine_bind(server->machine, port->port, *fd, (enum vmm_stream)port->stream);
	else if (message->kind == CONTROL_LISTEN)
		r = machine_listen(server->machine, port->port, *fd);
	else if (message->kind == CONTROL_DUMP_LOG)
		dump_log(server, message->number, *fd);
	else if (message->kind == CONTROL_STATS)
		send_stats(server, message->number, message->body.device);
	else if (message->kind == CONTROL_MEMORY)
		set_memory(server, message->number, message->body.memory_mib);
	else if (message->kind == CONTROL_END_GUEST)
		end_guest(server, message->number);
	else if (message->kind == CONTROL_ADD_DISK || message->kind == CONTROL_REMOVE_DISK ||
		 message->kind == CONTROL_RESIZE_DISK)
		serve_disk(server, message, message->kind == CONTROL_ADD_DISK ? *fd : -1);
	if (r < 0)
		log_warning("port %u: %s", port->port, sys_text(r));
	else if (message->kind == CONTROL_BIND || message->kind == CONTROL_LISTEN)
		(void)take_fd(fd);
}

static void on_readable(struct io_op *op, int result)
{
	struct server *server = container_of(op, struct server, readable);
	struct control_message message;
	int fds[PACKET_MAX_FDS], r;
	size_t count;

	(void)result;
	while ((r = control_receive(server->socket, false, &message, fds, &count)) == 1) {
		handle(server, &message, &fds[0]);
		for (size_t i = 0; i < count; i++)
			close_fd(&fds[i]);
	}
	if (r == -EAGAIN)
		io_poll(server->io, &server->readable, server->socket, POLLIN, on_readable);
	else
		io_stop(server->io); /* nobody is left to serve, or it makes no sense */
}

static int build(struct server *server, struct error *err)
{
	struct control_message message;
	int fds[PACKET_MAX_FDS], kvm_fd, r;
	struct vmm_config config;
	size_t count;

	r = control_receive(server->socket, true, &message, fds, &count);
	if (r <= 0)
		return error_set(err, r < 0 ? r : -EPIPE, "VMM: no configuration came");
	if (message.kind != CONTROL_START)
		return error_set(err, -EPROTO, "VMM: the first message is not a configuration");
	control_unpack_config(&message.body.start, fds, &kvm_fd, &config);
	server->has_nets = config.net_count > 0;
	r = io_create(&(struct io_config){ .backend = IO_BACKEND_AUTO, .one_thread = true },
		      &server->io);
	if (r < 0)
		return error_set(err, r, "VMM: event loop: %s", sys_text(r));
	r = machine_create(&config, kvm_fd, server->io,
			   &(struct machine_callbacks){ .connected = on_connected,
							.closed = on_closed,
							.ended = on_ended,
							.context = server },
			   &server->machine, err);
	for (size_t i = 0; i < count; i++)
		close_fd(&fds[i]);
	return r;
}

/* Where this thread and a vCPU share a processor, a packet or a kick must not push the vCPU, or
 * whoever sends, aside at once: this thread does little and would always win, and then has one
 * packet to work on and one interrupt to send for each. It goes when the processor is free, or has
 * been taken long enough. On a processor of its own nothing changes. */
static void let_vcpus_run_on(struct io_op *op, int result)
{
	const struct sched_param unused = { 0 };

	(void)op;
	if (result == 0)
		(void)SYS(sched_setscheduler, 0, SCHED_BATCH, &unused);
}

static int serve(int socket)
{
	struct server server = { .socket = socket };
	struct error err = { 0 };
	int r = build(&server, &err);

	if (r == 0) {
		(void)io_attach(server.io);
		io_poll(server.io, &server.readable, socket, POLLIN, on_readable);
		r = machine_start(server.machine, &err);
	}
	send_result(socket, CONTROL_READY, 0, r, r < 0 ? err.text : "");
	if (r == 0 && server.has_nets)
		io_timer(server.io, &server.settled, SETTLED_NS, let_vcpus_run_on);
	if (r == 0)
		r = io_run(server.io);
	/* No unwinding: vCPUs may still run, and the end of the process releases everything. */
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int vmm_main(int argc, char **argv)
{
	char *end = NULL;
	long socket = argc == 2 ? strtol(argv[1], &end, 10) : -1;

	log_set_name("katavm-vmm");
	if (!end || *end || socket < 3 || socket > 1023) {
		log_error("started by katavm only, with the number of its control socket");
		return EXIT_FAILURE;
	}
	(void)SYS(prctl, PR_SET_NAME, "katavm-vmm"); /* executed as /proc/self/exe, it is "exe" */
	(void)mallopt(M_ARENA_MAX, 1); /* an arena for each vCPU would cost more than it gives */
	_exit(serve((int)socket));
}
