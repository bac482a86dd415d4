#include "agent/protocol/ttrpc_client.h"

#include "agent/protocol/ttrpc.pb-c.h"
#include "base/own.h"
#include "base/sys.h"
#include "base/text.h"
#include <limits.h>
#include <poll.h>

typedef Katavm__Ttrpc__Request wire_request;
typedef Katavm__Ttrpc__Response wire_response;
typedef Katavm__Ttrpc__KeyValue wire_pair;

enum { MAX_METADATA = 4 };

struct call {
	struct call *next;
	uint32_t stream_id;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
	const ProtobufCMessageDescriptor *output;
	ttrpc_reply_fn *reply;
	void *context;
};

struct ttrpc_client {
	struct ttrpc_stream stream;
	struct call *calls;
	uint32_t next_stream_id; /* odd, increasing */
	int broken;              /* -errno once the connection is over */
	size_t metadata_count;
	wire_pair metadata[MAX_METADATA];
};

int ttrpc_code_errno(enum ttrpc_code code)
{
	static const struct {
		enum ttrpc_code code;
		int error;
	} table[] = {
		{ TTRPC_OK, 0 },
		{ TTRPC_CANCELLED, -ECANCELED },
		{ TTRPC_INVALID_ARGUMENT, -EINVAL },
		{ TTRPC_DEADLINE_EXCEEDED, -ETIMEDOUT },
		{ TTRPC_NOT_FOUND, -ENOENT },
		{ TTRPC_ALREADY_EXISTS, -EEXIST },
		{ TTRPC_PERMISSION_DENIED, -EPERM },
		{ TTRPC_RESOURCE_EXHAUSTED, -ENOMEM },
		{ TTRPC_FAILED_PRECONDITION, -EBUSY },
		{ TTRPC_UNIMPLEMENTED, -ENOSYS },
		{ TTRPC_UNAVAILABLE, -ECONNREFUSED },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].code == code)
			return table[i].error;
	return -EIO;
}

int ttrpc_client_create(int fd, uint32_t max_data, struct ttrpc_client **out)
{
	struct ttrpc_client *client = calloc(1, sizeof *client);
	int r;

	if (!client)
		return -ENOMEM;
	if (max_data == 0 || max_data > TTRPC_MAX_DATA)
		max_data = TTRPC_MAX_DATA;
	r = ttrpc_stream_init(&client->stream, fd, max_data);
	if (r < 0) {
		free(client);
		return r;
	}
	client->next_stream_id = 1;
	*out = client;
	return 0;
}

static struct call *unlink_call(struct call **slot)
{
	struct call *call = *slot;

	*slot = call->next;
	return call;
}

static void answer(struct call *call, const struct ttrpc_reply *reply)
{
	call->reply(call->context, reply);
	free(call);
}

/* The connection is over. Calls made by a callback meanwhile are refused by `broken`. */
static int break_client(struct ttrpc_client *client, int error)
{
	const struct ttrpc_reply reply = { .error = error,
					   .code = TTRPC_UNAVAILABLE,
					   .text = "the connection is closed" };

	if (!client->broken)
		client->broken = error;
	while (client->calls)
		answer(unlink_call(&client->calls), &reply);
	return error;
}

void ttrpc_client_destroy(struct ttrpc_client *client)
{
	if (!client)
		return;
	(void)break_client(client, -ECANCELED);
	ttrpc_stream_finish(&client->stream);
	free(client);
}

int ttrpc_client_add_metadata(struct ttrpc_client *client, const char *key, const char *value)
{
	wire_pair *pair = &client->metadata[client->metadata_count];

	if (client->metadata_count == MAX_METADATA)
		return -ENOSPC;
	katavm__ttrpc__key_value__init(pair);
	pair->key = (char *)(uintptr_t)key;
	pair->value = (char *)(uintptr_t)value;
	client->metadata_count++;
	return 0;
}

int ttrpc_client_fd(const struct ttrpc_client *client)
{
	return client->stream.fd;
}

short ttrpc_client_events(const struct ttrpc_client *client)
{
	return ttrpc_stream_events(&client->stream);
}

int ttrpc_client_timeout_ms(const struct ttrpc_client *client)
{
	uint64_t nearest = UINT64_MAX, now, ms;

	for (const struct call *call = client->calls; call; call = call->next)
		if (call->deadline_ns && call->deadline_ns < nearest)
			nearest = call->deadline_ns;
	if (nearest == UINT64_MAX)
		return -1;
	now = ttrpc_now_ns();
	ms = nearest > now ? (nearest - now + 999999) / 1000000 : 0;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* The request inside its envelope, as the end of the output queue. */
static int queue_request(struct ttrpc_client *client, const char *service, const char *method,
			 uint64_t timeout_ns, const ProtobufCMessage *request)
{
	struct ttrpc_frame frame = { .stream_id = client->next_stream_id, .type = TTRPC_REQUEST };
	wire_request wire = KATAVM__TTRPC__REQUEST__INIT;
	size_t size = protobuf_c_message_get_packed_size(request);
	wire_pair *pairs[MAX_METADATA];
	own_mem uint8_t *payload = NULL;
	uint8_t *data;

	if (size > TTRPC_MAX_DATA)
		return -EMSGSIZE;
	payload = malloc(size ? size : 1);
	if (!payload)
		return -ENOMEM;
	wire.service = (char *)(uintptr_t)service;
	wire.method = (char *)(uintptr_t)method;
	wire.timeout_nano = timeout_ns > INT64_MAX ? INT64_MAX : (int64_t)timeout_ns;
	wire.payload.data = payload;
	wire.payload.len = protobuf_c_message_pack(request, payload);
	for (size_t i = 0; i < client->metadata_count; i++)
		pairs[i] = &client->metadata[i];
	wire.metadata = pairs;
	wire.n_metadata = client->metadata_count;

	size = katavm__ttrpc__request__get_packed_size(&wire);
	if (size > TTRPC_MAX_DATA)
		return -EMSGSIZE;
	frame.size = (uint32_t)size;
	data = ttrpc_stream_queue(&client->stream, &frame);
	if (!data)
		return -ENOMEM;
	(void)katavm__ttrpc__request__pack(&wire, data);
	return 0;
}

int ttrpc_client_call(struct ttrpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, uint64_t timeout_ns,
		      ttrpc_reply_fn *reply, void *context)
{
	const ProtobufCMethodDescriptor *found =
	    protobuf_c_service_descriptor_get_method_by_name(service, method);
	own_mem struct call *call = calloc(1, sizeof *call);
	int r;

	if (client->broken)
		return client->broken;
	if (!found || request->descriptor != found->input)
		return -EINVAL;
	if (client->next_stream_id > UINT32_MAX - 2)
		return -EOVERFLOW;
	if (!call)
		return -ENOMEM;

	r = queue_request(client, service->name, method, timeout_ns, request);
	if (r < 0)
		return r;
	*call = (struct call){ .next = client->calls,
			       .stream_id = client->next_stream_id,
			       .deadline_ns = timeout_ns ? ttrpc_now_ns() + timeout_ns : 0,
			       .output = found->output,
			       .reply = reply,
			       .context = context };
	client->next_stream_id += 2;
	client->calls = take_ptr(call);
	(void)ttrpc_stream_flush(
	    &client->stream); /* an error is seen again, and told, by process */
	return 0;
}

static void deliver(struct call *call, const wire_response *wire)
{
	struct ttrpc_reply reply = { .text = "" };
	ProtobufCMessage *response = NULL;

	if (wire->status && wire->status->code != TTRPC_OK) {
		reply.code = (enum ttrpc_code)wire->status->code;
		text_make_printable(wire->status->message); /* a person may be shown it */
		reply.text = wire->status->message;
	} else {
		response = protobuf_c_message_unpack(call->output, NULL, wire->payload.len,
						     wire->payload.data);
		reply.response = response;
		if (!response) {
			reply.code = TTRPC_INTERNAL;
			reply.text = "the answer cannot be decoded";
		}
	}
	answer(call, &reply);
	if (response)
		protobuf_c_message_free_unpacked(response, NULL);
}

/* 0, also for an answer to nobody: its call has met its deadline. */
static int take_frame(struct ttrpc_client *client, const struct ttrpc_frame *frame)
{
	struct call **slot = &client->calls;
	wire_response *wire;

	if (frame->type != TTRPC_RESPONSE)
		return -EPROTO; /* streaming calls are not made here */
	while (*slot && (*slot)->stream_id != frame->stream_id)
		slot = &(*slot)->next;
	if (!*slot)
		return 0;
	if (frame->oversize) {
		const struct ttrpc_reply reply = { .code = TTRPC_RESOURCE_EXHAUSTED,
						   .text = "the answer is too long" };

		answer(unlink_call(slot), &reply);
		return 0;
	}
	wire = katavm__ttrpc__response__unpack(NULL, frame->size, frame->data);
	if (!wire)
		return -EPROTO;
	deliver(unlink_call(slot), wire);
	katavm__ttrpc__response__free_unpacked(wire, NULL);
	return 0;
}

static void expire(struct ttrpc_client *client)
{
	const struct ttrpc_reply reply = { .code = TTRPC_DEADLINE_EXCEEDED,
					   .text = "no answer in time" };
	uint64_t now = ttrpc_now_ns();
	struct call **slot = &client->calls, *late = NULL;

	while (*slot) {
		if ((*slot)->deadline_ns && (*slot)->deadline_ns <= now) {
			struct call *call = unlink_call(slot);

			call->next = late;
			late = call;
		} else {
			slot = &(*slot)->next;
		}
	}
	while (late) /* apart, because a callback may change client->calls */
		answer(unlink_call(&late), &reply);
}

int ttrpc_client_process(struct ttrpc_client *client)
{
	struct ttrpc_frame frame;
	int r, sent;

	if (client->broken)
		return break_client(client, client->broken);
	sent = ttrpc_stream_flush(&client->stream);
	while ((r = ttrpc_stream_receive(&client->stream, &frame)) > 0) {
		r = take_frame(client, &frame);
		if (r < 0)
			break;
	}
	if (r < 0 || sent < 0)
		return break_client(client, r < 0 ? r : sent);
	expire(client);
	return 0;
}

struct waiter {
	bool answered, keep;
	int result;
	ProtobufCMessage *response;
	struct error *err;
};

/* A copy, because the reply's message ends with the callback. */
static ProtobufCMessage *copy_message(const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	own_mem uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		return NULL;
	size = protobuf_c_message_pack(message, bytes);
	return protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
}

static void end_wait(void *context, const struct ttrpc_reply *reply)
{
	struct waiter *waiter = context;

	waiter->answered = true;
	waiter->result = reply->error ? reply->error : ttrpc_code_errno(reply->code);
	if (waiter->result < 0) {
		(void)error_set(waiter->err, waiter->result, "%s", reply->text);
		return;
	}
	if (!waiter->keep)
		return;
	waiter->response = copy_message(reply->response);
	if (!waiter->response)
		waiter->result = error_set(waiter->err, -ENOMEM, "no memory for the answer");
}

int ttrpc_client_call_wait(struct ttrpc_client *client, const ProtobufCServiceDescriptor *service,
			   const char *method, const ProtobufCMessage *request, int timeout_ms,
			   ProtobufCMessage **response, struct error *err)
{
	uint64_t timeout_ns = timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * 1000000 + 1;
	struct waiter waiter = { .keep = response != NULL, .err = err };
	int r = ttrpc_client_call(client, service, method, request, timeout_ns, end_wait, &waiter);

	if (r < 0)
		return error_set(err, r, "call %s: %s", method, sys_text(r));
	while (!waiter.answered) {
		struct pollfd poll_fd = { .fd = ttrpc_client_fd(client),
					  .events = ttrpc_client_events(client) };

		if (poll(&poll_fd, 1, ttrpc_client_timeout_ms(client)) < 0 && errno != EINTR)
			(void)break_client(client, -errno);
		else
			(void)ttrpc_client_process(client);
	}
	if (waiter.result == 0 && response)
		*response = waiter.response;
	return waiter.result;
}
