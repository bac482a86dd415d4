#include "agent/protocol/ttrpc_server.h"

#include "agent/protocol/ttrpc.pb-c.h"
#include "base/own.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef Katavm__Ttrpc__Request wire_request;
typedef Katavm__Ttrpc__Response wire_response;
typedef Katavm__Ttrpc__Status wire_status;

/* A client that asks and does not read is not listened to until it has read. */
enum { MAX_UNSENT = 1 << 20 };

struct ttrpc_call {
	struct ttrpc_call *next, **back; /* in server->calls */
	struct ttrpc_server *server;     /* NULL once the connection is gone */
	uint32_t stream_id;
	uint64_t deadline_ns;
	wire_request *wire;
	ProtobufCMessage *request;
};

struct ttrpc_server {
	struct ttrpc_stream stream;
	uint32_t last_stream_id;
	const struct ttrpc_service *services;
	size_t service_count;
	struct ttrpc_call *calls;
};

int ttrpc_server_create(int fd, const struct ttrpc_service *services, size_t service_count,
			struct ttrpc_server **out)
{
	struct ttrpc_server *server = calloc(1, sizeof *server);
	int r;

	if (!server)
		return -ENOMEM;
	r = ttrpc_stream_init(&server->stream, fd, TTRPC_MAX_DATA);
	if (r < 0) {
		free(server);
		return r;
	}
	server->services = services;
	server->service_count = service_count;
	*out = server;
	return 0;
}

static void unlink_call(struct ttrpc_call *call)
{
	if (call->next)
		call->next->back = call->back;
	*call->back = call->next;
}

void ttrpc_server_destroy(struct ttrpc_server *server)
{
	if (!server)
		return;
	while (server->calls) {
		struct ttrpc_call *call = server->calls;

		unlink_call(call);
		call->server = NULL;
	}
	ttrpc_stream_finish(&server->stream);
	free(server);
}

int ttrpc_server_fd(const struct ttrpc_server *server)
{
	return server->stream.fd;
}

static bool listens(const struct ttrpc_server *server)
{
	return server->stream.output_size - server->stream.output_at < MAX_UNSENT;
}

short ttrpc_server_events(const struct ttrpc_server *server)
{
	short events = ttrpc_stream_events(&server->stream);

	if (!listens(server))
		events &= POLLOUT;
	return events;
}

/* No memory for an answer: nothing can be told, and the caller's deadline is its way out. */
static void send_response(struct ttrpc_server *server, uint32_t stream_id, wire_response *wire)
{
	struct ttrpc_frame frame = { .stream_id = stream_id, .type = TTRPC_RESPONSE };
	uint8_t *data;

	frame.size = (uint32_t)katavm__ttrpc__response__get_packed_size(wire);
	data = ttrpc_stream_queue(&server->stream, &frame);
	if (!data)
		return;
	(void)katavm__ttrpc__response__pack(wire, data);
	(void)ttrpc_stream_flush(&server->stream); /* an error is seen again by process */
}

static void send_status(struct ttrpc_server *server, uint32_t stream_id, enum ttrpc_code code,
			const char *text)
{
	wire_status status = KATAVM__TTRPC__STATUS__INIT;
	wire_response wire = KATAVM__TTRPC__RESPONSE__INIT;

	status.code = (int32_t)code;
	status.message = (char *)(uintptr_t)text;
	wire.status = &status;
	send_response(server, stream_id, &wire);
}

static void call_free(struct ttrpc_call *call)
{
	if (call->server)
		unlink_call(call);
	if (call->request)
		protobuf_c_message_free_unpacked(call->request, NULL);
	katavm__ttrpc__request__free_unpacked(call->wire, NULL);
	free(call);
}

void ttrpc_answer(struct ttrpc_call *call, const ProtobufCMessage *response)
{
	wire_response wire = KATAVM__TTRPC__RESPONSE__INIT;
	size_t size = protobuf_c_message_get_packed_size(response);
	own_mem uint8_t *payload = NULL;

	if (!call->server) {
		call_free(call);
		return;
	}
	if (size > TTRPC_MAX_DATA - 64) { /* with its envelope */
		ttrpc_refuse(call, TTRPC_RESOURCE_EXHAUSTED, "the answer has %zu bytes", size);
		return;
	}
	payload = malloc(size ? size : 1);
	if (payload) {
		wire.payload.data = payload;
		wire.payload.len = protobuf_c_message_pack(response, payload);
		send_response(call->server, call->stream_id, &wire);
	}
	call_free(call);
}

void ttrpc_refuse(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (call->server)
		send_status(call->server, call->stream_id, code, text);
	call_free(call);
}

const char *ttrpc_call_metadata(const struct ttrpc_call *call, const char *key)
{
	for (size_t i = 0; i < call->wire->n_metadata; i++)
		if (strcmp(call->wire->metadata[i]->key, key) == 0)
			return call->wire->metadata[i]->value;
	return NULL;
}

uint64_t ttrpc_call_deadline_ns(const struct ttrpc_call *call)
{
	return call->deadline_ns;
}

static const struct ttrpc_service *find_service(const struct ttrpc_server *server, const char *name)
{
	for (size_t i = 0; i < server->service_count; i++) {
		const struct ttrpc_service *service = &server->services[i];

		if (strcmp(service->name ? service->name : service->descriptor->name, name) == 0)
			return service;
	}
	return NULL;
}

static void dispatch(struct ttrpc_server *server, struct ttrpc_call *call)
{
	const wire_request *wire = call->wire;
	const struct ttrpc_service *service = find_service(server, wire->service);
	const ProtobufCMethodDescriptor *method;
	ttrpc_handler_fn *handler;

	if (!service) {
		ttrpc_refuse(call, TTRPC_UNIMPLEMENTED, "service %.100s", wire->service);
		return;
	}
	method =
	    protobuf_c_service_descriptor_get_method_by_name(service->descriptor, wire->method);
	handler = method ? service->handlers[method - service->descriptor->methods] : NULL;
	if (!handler) {
		ttrpc_refuse(call, TTRPC_UNIMPLEMENTED, "method %.100s", wire->method);
		return;
	}
	call->request =
	    protobuf_c_message_unpack(method->input, NULL, wire->payload.len, wire->payload.data);
	if (!call->request) {
		ttrpc_refuse(call, TTRPC_INVALID_ARGUMENT, "%s: the request cannot be decoded",
			     method->name);
		return;
	}
	handler(service->context, call, call->request);
}

static int begin_call(struct ttrpc_server *server, const struct ttrpc_frame *frame)
{
	struct ttrpc_call *call = calloc(1, sizeof *call);
	int64_t timeout_ns;

	if (!call)
		return -ENOMEM;
	call->wire = katavm__ttrpc__request__unpack(NULL, frame->size, frame->data);
	if (!call->wire) {
		free(call);
		send_status(server, frame->stream_id, TTRPC_INVALID_ARGUMENT,
			    "the request's envelope cannot be decoded");
		return 0;
	}
	timeout_ns = call->wire->timeout_nano;
	call->stream_id = frame->stream_id;
	call->deadline_ns = timeout_ns > 0 ? ttrpc_now_ns() + (uint64_t)timeout_ns : 0;
	call->server = server;
	call->next = server->calls;
	call->back = &server->calls;
	if (call->next)
		call->next->back = &call->next;
	server->calls = call;
	dispatch(server, call);
	return 0;
}

/* 0 or -errno; what is wrong with one frame is answered and ends nothing else. */
static int take_frame(struct ttrpc_server *server, const struct ttrpc_frame *frame)
{
	enum ttrpc_code code = TTRPC_INVALID_ARGUMENT;
	const char *text = NULL;

	if (frame->stream_id % 2 == 0) {
		text = "a client's stream id is odd";
	} else if (frame->oversize) {
		code = TTRPC_RESOURCE_EXHAUSTED;
		text = "the message is longer than 4 MiB";
	} else if (frame->type == TTRPC_DATA) {
		text = "no such stream";
	} else if (frame->type != TTRPC_REQUEST) {
		return 0; /* ttrpc says to ignore what is not known */
	} else if (frame->stream_id <= server->last_stream_id) {
		text = "a stream id is used once, and they increase";
	} else if (frame->flags & TTRPC_REMOTE_OPEN) {
		code = TTRPC_UNIMPLEMENTED;
		text = "streaming calls";
	}
	if (frame->type == TTRPC_REQUEST && frame->stream_id > server->last_stream_id)
		server->last_stream_id = frame->stream_id;
	if (text) {
		send_status(server, frame->stream_id, code, text);
		return 0;
	}
	return begin_call(server, frame);
}

int ttrpc_server_process(struct ttrpc_server *server)
{
	struct ttrpc_frame frame;
	int r = ttrpc_stream_flush(&server->stream);

	while (r == 0 && listens(server)) {
		r = ttrpc_stream_receive(&server->stream, &frame);
		if (r <= 0)
			return r;
		r = take_frame(server, &frame);
	}
	return r;
}
