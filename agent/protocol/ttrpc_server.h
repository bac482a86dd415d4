#pragma once
#include "agent/protocol/ttrpc.h"
#include <protobuf-c/protobuf-c.h>

/*
 * The answering side of a ttrpc connection. A handler may answer at once or keep the call and
 * answer later, in any order; a call that is kept blocks no other. One thread owns a connection and
 * its calls.
 */
struct ttrpc_server;
struct ttrpc_call;

/* Must see to it that the call is answered once, with ttrpc_answer or ttrpc_refuse. The request is
 * of the method's type, its strings are valid UTF-8 as far as protobuf-c cares, and its values are
 * not checked at all. It is the call's, which is gone once answered. */
typedef void ttrpc_handler_fn(void *context, struct ttrpc_call *call,
			      const ProtobufCMessage *request);

struct ttrpc_service {
	const char
	    *name; /* NULL: the descriptor's. One descriptor may serve under several names. */
	const ProtobufCServiceDescriptor *descriptor;
	ttrpc_handler_fn *const
	    *handlers; /* in the order of the .proto file; NULL: UNIMPLEMENTED */
	void *context;
};

/* Takes fd, a stream socket; the services are borrowed. */
int ttrpc_server_create(int fd, const struct ttrpc_service *services, size_t service_count,
			struct ttrpc_server **out);

/* Accepts NULL. Calls still open stay valid and must still be answered; the answers go nowhere. */
void ttrpc_server_destroy(struct ttrpc_server *server);

int ttrpc_server_fd(const struct ttrpc_server *server);
short ttrpc_server_events(const struct ttrpc_server *server);

/* Reads, calls handlers, writes; never blocks. An error means that the connection is over:
 * -ECONNRESET when the other side closed it. */
int ttrpc_server_process(struct ttrpc_server *server);

/* Both end the call. What the socket does not take now is sent by ttrpc_server_process. */
void ttrpc_answer(struct ttrpc_call *call, const ProtobufCMessage *response);
__attribute__((format(printf, 3, 4))) void
ttrpc_refuse(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...);

/* NULL when the caller sent no such key. */
const char *ttrpc_call_metadata(const struct ttrpc_call *call, const char *key);

/* CLOCK_MONOTONIC at which the caller stops listening; 0: never. */
uint64_t ttrpc_call_deadline_ns(const struct ttrpc_call *call);
