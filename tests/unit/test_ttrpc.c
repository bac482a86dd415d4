#include "agent/protocol/agent.pb-c.h"
#include "agent/protocol/ttrpc.pb-c.h"
#include "agent/protocol/ttrpc_client.h"
#include "agent/protocol/ttrpc_server.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGENT (&katavm__agent__v1__agent__descriptor)

enum { METHODS = 18 };

/* The answering side keeps Wait calls until the test lets them go. */
struct peer {
	struct ttrpc_server *server;
	struct ttrpc_client *client;
	struct ttrpc_call *kept[4];
	size_t kept_count;
	int raw; /* the client's end of the socket when there is no client */
};

static void on_wait(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	struct peer *peer = context;

	(void)request;
	peer->kept[peer->kept_count++] = call;
}

static void on_signal(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	const Katavm__Agent__V1__SignalProcessRequest *signal = (const void *)request;
	Katavm__Agent__V1__Empty empty = KATAVM__AGENT__V1__EMPTY__INIT;
	const char *tenant = ttrpc_call_metadata(call, "tenant");

	(void)context;
	if (tenant && strcmp(tenant, "a") != 0)
		ttrpc_refuse(call, TTRPC_PERMISSION_DENIED, "tenant %s", tenant);
	else if (signal->signal == 9)
		ttrpc_refuse(call, TTRPC_NOT_FOUND, "process already finished");
	else
		ttrpc_answer(call, &empty.base);
}

static ttrpc_handler_fn *const handlers[METHODS] = { [4] = on_wait, [5] = on_signal };

static void open_peer(struct peer *peer, bool with_client)
{
	static struct ttrpc_service service;
	int pair[2];

	*peer = (struct peer){ 0 };
	service =
	    (struct ttrpc_service){ .descriptor = AGENT, .handlers = handlers, .context = peer };
	cr_assert_eq(AGENT->n_methods, METHODS);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(ttrpc_server_create(pair[0], &service, 1, &peer->server), 0);
	peer->raw = pair[1];
	if (with_client)
		cr_assert_eq(ttrpc_client_create(pair[1], 0, &peer->client), 0);
}

static void close_peer(struct peer *peer)
{
	ttrpc_server_destroy(peer->server);
	if (!peer->client)
		(void)close(peer->raw);
	ttrpc_client_destroy(peer->client);
}

struct result {
	int count, error;
	enum ttrpc_code code;
	uint32_t exit_code;
	char text[64];
};

static void note(void *context, const struct ttrpc_reply *reply)
{
	const Katavm__Agent__V1__WaitProcessResponse *wait = (const void *)reply->response;
	struct result *result = context;

	result->count++;
	result->error = reply->error;
	result->code = reply->code;
	strncpy(result->text, reply->text, sizeof result->text - 1);
	if (wait &&
	    reply->response->descriptor == &katavm__agent__v1__wait_process_response__descriptor)
		result->exit_code = wait->exit_code;
}

static int call_wait(struct peer *peer, uint64_t timeout_ns, struct result *result)
{
	Katavm__Agent__V1__WaitProcessRequest request =
	    KATAVM__AGENT__V1__WAIT_PROCESS_REQUEST__INIT;

	return ttrpc_client_call(peer->client, AGENT, "WaitProcess", &request.base, timeout_ns,
				 note, result);
}

static int call_signal(struct peer *peer, uint32_t number, struct result *result)
{
	Katavm__Agent__V1__SignalProcessRequest request =
	    KATAVM__AGENT__V1__SIGNAL_PROCESS_REQUEST__INIT;

	request.signal = number;
	return ttrpc_client_call(peer->client, AGENT, "SignalProcess", &request.base, 0, note,
				 result);
}

static void turn(struct peer *peer)
{
	cr_assert_eq(ttrpc_server_process(peer->server), 0);
	cr_assert_eq(ttrpc_client_process(peer->client), 0);
}

Test(ttrpc, decodes_frames_split_anywhere)
{
	static const uint8_t bytes[] = { 0,   0, 0, 3, 0, 0, 1, 1, 2, 0, 'a', 'b',
					 'c', 0, 0, 0, 0, 0, 0, 0, 5, 1, 2 };

	for (size_t cut = 0; cut <= sizeof bytes; cut++) {
		struct ttrpc_decoder decoder = { .max_data = TTRPC_MAX_DATA };
		struct ttrpc_frame frames[2];
		size_t found = 0;

		for (size_t at = 0, end = cut;; end = sizeof bytes) {
			while (at < end) {
				size_t used;
				int r = ttrpc_decoder_feed(&decoder, bytes + at, end - at, &used,
							   &frames[found]);

				at += used;
				if (r == 1 && found == 0)
					cr_assert_eq(memcmp(frames[0].data, "abc", 3), 0);
				found += r == 1;
			}
			if (end == sizeof bytes)
				break;
		}
		cr_assert_eq(found, 2);
		cr_assert_eq(frames[0].stream_id, 0x101);
		cr_assert_eq(frames[0].type, TTRPC_RESPONSE);
		cr_assert_eq(frames[0].size, 3);
		cr_assert_eq(frames[1].stream_id, 5);
		cr_assert_eq(frames[1].flags, TTRPC_REMOTE_OPEN);
		cr_assert_eq(frames[1].size, 0);
		ttrpc_decoder_finish(&decoder);
	}
}

Test(ttrpc, header_round_trip)
{
	struct ttrpc_frame frame = {
		.stream_id = 0x01020305, .type = 3, .flags = 5, .size = 0x0a0b
	};
	uint8_t header[TTRPC_HEADER_SIZE];
	static const uint8_t expected[] = { 0, 0, 0x0a, 0x0b, 1, 2, 3, 5, 3, 5 };

	ttrpc_encode_header(&frame, header);
	cr_assert_eq(memcmp(header, expected, sizeof expected), 0);
}

Test(ttrpc, answers_in_any_order)
{
	Katavm__Agent__V1__WaitProcessResponse response =
	    KATAVM__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;
	struct result first = { 0 }, second = { 0 }, signal = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(call_wait(&peer, 0, &first), 0);
	cr_assert_eq(call_wait(&peer, 0, &second), 0);
	cr_assert_eq(call_signal(&peer, 15, &signal), 0);
	turn(&peer);
	cr_assert_eq(signal.count, 1, "a wait blocks nothing");
	cr_assert_eq(signal.code, TTRPC_OK);
	cr_assert_eq(first.count + second.count, 0);

	response.exit_code = 2;
	ttrpc_answer(peer.kept[1], &response.base);
	response.exit_code = 1;
	ttrpc_answer(peer.kept[0], &response.base);
	turn(&peer);
	cr_assert_eq(first.exit_code, 1);
	cr_assert_eq(second.exit_code, 2);
	close_peer(&peer);
}

/* The other side is a guest, and what it says is shown on terminals. */
Test(ttrpc, what_a_refusal_says_is_printable)
{
	struct result result = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(ttrpc_client_add_metadata(peer.client, "tenant",
					       "\x1b[2J\xc2\x9b"
					       "5n\xc3\xa9\n"),
		     0);
	cr_assert_eq(call_signal(&peer, 1, &result), 0);
	turn(&peer);
	cr_assert_eq(result.code, TTRPC_PERMISSION_DENIED);
	cr_assert_str_eq(result.text, "tenant ?[2J??5n\xc3\xa9?");
	close_peer(&peer);
}

Test(ttrpc, refusals)
{
	struct result result = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(call_signal(&peer, 9, &result), 0);
	turn(&peer);
	cr_assert_eq(result.code, TTRPC_NOT_FOUND);
	cr_assert_str_eq(result.text, "process already finished");

	cr_assert_eq(ttrpc_client_add_metadata(peer.client, "tenant", "b"), 0);
	cr_assert_eq(call_signal(&peer, 1, &result), 0);
	turn(&peer);
	cr_assert_eq(result.code, TTRPC_PERMISSION_DENIED);
	cr_assert_str_eq(result.text, "tenant b");

	cr_assert_eq(
	    ttrpc_client_call(peer.client, AGENT, "NoSuch",
			      &(Katavm__Agent__V1__Empty)KATAVM__AGENT__V1__EMPTY__INIT.base, 0,
			      note, &result),
	    -EINVAL);
	close_peer(&peer);
}

Test(ttrpc, deadline_then_late_answer)
{
	Katavm__Agent__V1__WaitProcessResponse response =
	    KATAVM__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;
	struct result late = { 0 }, open = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(call_wait(&peer, 1, &late), 0);
	cr_assert_eq(call_wait(&peer, 0, &open), 0);
	cr_assert_eq(ttrpc_client_timeout_ms(peer.client), 0);
	turn(&peer);
	cr_assert_eq(late.count, 1);
	cr_assert_eq(late.code, TTRPC_DEADLINE_EXCEEDED);
	cr_assert_eq(ttrpc_client_timeout_ms(peer.client), -1);
	cr_assert_neq(ttrpc_call_deadline_ns(peer.kept[0]), 0);
	ttrpc_answer(peer.kept[0], &response.base);
	ttrpc_answer(peer.kept[1], &response.base);
	turn(&peer);
	cr_assert_eq(late.count, 1);
	cr_assert_eq(open.count, 1);
	close_peer(&peer);
}

Test(ttrpc, connection_lost)
{
	Katavm__Agent__V1__WaitProcessResponse response =
	    KATAVM__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;
	struct result result = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(call_wait(&peer, 0, &result), 0);
	turn(&peer);
	ttrpc_server_destroy(peer.server);
	peer.server = NULL;
	cr_assert_eq(ttrpc_client_process(peer.client), -ECONNRESET);
	cr_assert_eq(result.error, -ECONNRESET);
	cr_assert_eq(call_wait(&peer, 0, &result), -ECONNRESET);
	ttrpc_answer(peer.kept[0], &response.base); /* a call outlives its connection */
	close_peer(&peer);
}

Test(ttrpc, blocking_call)
{
	Katavm__Agent__V1__WaitProcessRequest request =
	    KATAVM__AGENT__V1__WAIT_PROCESS_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct error err = { 0 };
	struct peer peer;

	open_peer(&peer, true);
	cr_assert_eq(ttrpc_client_call_wait(peer.client, AGENT, "WaitProcess", &request.base, 1,
					    &response, &err),
		     -ETIMEDOUT);
	cr_assert_str_eq(err.text, "no answer in time");
	cr_assert_null(response);
	close_peer(&peer);
}

/* What a hand-made frame is answered with. */
static int answer_code(struct peer *peer, const struct ttrpc_frame *frame, const void *data,
		       size_t size)
{
	struct ttrpc_decoder decoder = { .max_data = TTRPC_MAX_DATA };
	Katavm__Ttrpc__Response *response;
	uint8_t header[TTRPC_HEADER_SIZE], answer[1024];
	struct ttrpc_frame got;
	ssize_t received;
	size_t used;
	int code;

	ttrpc_encode_header(frame, header);
	cr_assert_eq(send(peer->raw, header, sizeof header, 0), sizeof header);
	for (size_t at = 0; at < size;) {
		ssize_t sent = send(peer->raw, (const char *)data + at, size - at, MSG_DONTWAIT);

		at += sent > 0 ? (size_t)sent : 0;
		cr_assert_eq(ttrpc_server_process(peer->server), 0);
	}
	cr_assert_eq(ttrpc_server_process(peer->server), 0);
	received = recv(peer->raw, answer, sizeof answer, MSG_DONTWAIT);
	if (received < 0)
		return -1;
	cr_assert_eq(ttrpc_decoder_feed(&decoder, answer, (size_t)received, &used, &got), 1);
	cr_assert_eq(got.stream_id, frame->stream_id);
	response = katavm__ttrpc__response__unpack(NULL, got.size, got.data);
	cr_assert_not_null(response);
	code = response->status ? response->status->code : 0;
	katavm__ttrpc__response__free_unpacked(response, NULL);
	ttrpc_decoder_finish(&decoder);
	return code;
}

Test(ttrpc, bad_frames_end_nothing)
{
	static const char garbage[] = "\xff\xff\xff\xff";
	static uint8_t big[TTRPC_MAX_DATA + 1];
	struct ttrpc_frame f = { .type = TTRPC_REQUEST, .stream_id = 2 };
	struct peer peer;

	open_peer(&peer, false);
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), TTRPC_INVALID_ARGUMENT, "even id");
	f.stream_id = 3;
	f.size = 4;
	cr_assert_eq(answer_code(&peer, &f, garbage, 4), TTRPC_INVALID_ARGUMENT, "garbage");
	f.stream_id = 1;
	f.size = 0;
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), TTRPC_INVALID_ARGUMENT, "id goes back");
	f.stream_id = 5;
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), TTRPC_UNIMPLEMENTED, "no service");
	f.stream_id = 7;
	f.flags = TTRPC_REMOTE_OPEN;
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), TTRPC_UNIMPLEMENTED, "streaming");
	f.stream_id = 9;
	f.flags = 0;
	f.size = sizeof big;
	cr_assert_eq(answer_code(&peer, &f, big, sizeof big), TTRPC_RESOURCE_EXHAUSTED, "too long");
	f.size = 0;
	f.type = TTRPC_DATA;
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), TTRPC_INVALID_ARGUMENT, "no such stream");
	f.type = 77;
	cr_assert_eq(answer_code(&peer, &f, NULL, 0), -1, "unknown types are ignored");
	close_peer(&peer);
}

static size_t pack_call(const char *service, const char *method, const void *payload, size_t size,
			uint8_t *out)
{
	Katavm__Ttrpc__Request request = KATAVM__TTRPC__REQUEST__INIT;

	request.service = (char *)(uintptr_t)service;
	request.method = (char *)(uintptr_t)method;
	request.payload.data = (uint8_t *)(uintptr_t)payload;
	request.payload.len = size;
	return katavm__ttrpc__request__pack(&request, out);
}

Test(ttrpc, payload_of_another_type)
{
	uint8_t bytes[256];
	struct ttrpc_frame f = { .type = TTRPC_REQUEST, .stream_id = 1 };
	struct peer peer;

	open_peer(&peer, false);
	f.size = (uint32_t)pack_call(AGENT->name, "SignalProcess", "\x0a\xff", 2, bytes);
	cr_assert_eq(answer_code(&peer, &f, bytes, f.size), TTRPC_INVALID_ARGUMENT);
	f.stream_id = 3;
	f.size = (uint32_t)pack_call(AGENT->name, "SignalProcess", "", 0, bytes);
	cr_assert_eq(answer_code(&peer, &f, bytes, f.size), TTRPC_OK);
	f.stream_id = 5;
	f.size = (uint32_t)pack_call(AGENT->name, "ShutDown", "", 0, bytes);
	cr_assert_eq(answer_code(&peer, &f, bytes, f.size), TTRPC_UNIMPLEMENTED);
	close_peer(&peer);
}
