/* The bytes of a ttrpc connection, both as what a server and as what a client receives. */
#include "agent/protocol/agent.pb-c.h"
#include "agent/protocol/ttrpc_client.h"
#include "agent/protocol/ttrpc_server.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_call(void *context, struct ttrpc_call *call, const ProtobufCMessage *request)
{
	(void)context;
	if (ttrpc_call_metadata(call, "key"))
		ttrpc_answer(call, request);
	else
		ttrpc_refuse(call, TTRPC_NOT_FOUND, "nothing");
}

static void on_reply(void *context, const struct ttrpc_reply *reply)
{
	if (reply->response && !reply->response->descriptor)
		abort();
	(*(int *)context)++;
}

/* A socket that holds the input and then ends. */
static int filled_socket(const uint8_t *data, size_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	if (size > 0)
		(void)!send(pair[1], data, size, MSG_DONTWAIT);
	(void)shutdown(pair[1], SHUT_WR);
	(void)close(pair[1]);
	return pair[0];
}

static void serve(const uint8_t *data, size_t size)
{
	static ttrpc_handler_fn *const handlers[] = { on_call, on_call, on_call, on_call,
						      on_call, on_call, on_call, on_call,
						      on_call, on_call, on_call, on_call };
	const struct ttrpc_service service = { .descriptor = &katavm__agent__v1__agent__descriptor,
					       .handlers = handlers };
	struct ttrpc_server *server;

	if (ttrpc_server_create(filled_socket(data, size), &service, 1, &server) < 0)
		abort();
	while (ttrpc_server_process(server) == 0)
		;
	ttrpc_server_destroy(server);
}

static void receive(const uint8_t *data, size_t size)
{
	Katavm__Agent__V1__WaitProcessRequest request =
	    KATAVM__AGENT__V1__WAIT_PROCESS_REQUEST__INIT;
	struct ttrpc_client *client;
	int answers = 0, calls = 0;

	if (ttrpc_client_create(filled_socket(data, size), 65536, &client) < 0)
		abort();
	for (; calls < 3; calls++)
		if (ttrpc_client_call(client, &katavm__agent__v1__agent__descriptor, "WaitProcess",
				      &request.base, 0, on_reply, &answers) < 0)
			abort();
	while (ttrpc_client_process(client) == 0)
		;
	ttrpc_client_destroy(client);
	if (answers != calls)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	serve(data, size);
	receive(data, size);
	return 0;
}
