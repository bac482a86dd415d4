#pragma once
#include "agent/protocol/ttrpc.h"
#include "base/error.h"
#include <protobuf-c/protobuf-c.h>

/*
 * The calling side of a ttrpc connection. Calls are answered in any order; one that waits delays
 * no other. One thread owns a client: it polls ttrpc_client_fd for ttrpc_client_events, for at most
 * ttrpc_client_timeout_ms, and then calls ttrpc_client_process. A short-lived caller uses
 * ttrpc_client_call_wait instead.
 */
struct ttrpc_client;

struct ttrpc_reply {
	int error; /* 0: answered. -ECONNRESET and others: the connection is over. */
	enum ttrpc_code code;
	const char *text;                 /* why code is not TTRPC_OK; never NULL; printable */
	const ProtobufCMessage *response; /* of the method's type when code is TTRPC_OK, else NULL;
					     gone when the callback returns */
};

/* Called once for each call, from ttrpc_client_process or ttrpc_client_destroy. May make new calls
 * but must not destroy the client. */
typedef void ttrpc_reply_fn(void *context, const struct ttrpc_reply *reply);

/* Takes fd, a stream socket. Answers with more data than max_data (0: TTRPC_MAX_DATA) are refused:
 * small when the other side is not trusted. */
int ttrpc_client_create(int fd, uint32_t max_data, struct ttrpc_client **out);

/* Accepts NULL. Open calls are answered with -ECANCELED. */
void ttrpc_client_destroy(struct ttrpc_client *client);

/* Sent with every call from now on. At most four; the strings are borrowed. */
int ttrpc_client_add_metadata(struct ttrpc_client *client, const char *key, const char *value);

int ttrpc_client_fd(const struct ttrpc_client *client);
short ttrpc_client_events(const struct ttrpc_client *client);
int ttrpc_client_timeout_ms(
    const struct ttrpc_client *client); /* until the next deadline; -1: none */

/* Queues a call and sends what the socket takes. timeout_ns 0: for ever. The request is not needed
 * afterwards. On an error the callback is not called. */
int ttrpc_client_call(struct ttrpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, uint64_t timeout_ns,
		      ttrpc_reply_fn *reply, void *context);

/* Reads, writes, delivers answers and deadlines; never blocks. When it returns an error the
 * connection is over and every call has been answered with that error. */
int ttrpc_client_process(struct ttrpc_client *client);

/* One call from start to end; blocks for at most timeout_ms (-1: for ever), serving other calls
 * meanwhile. *response (may be NULL) is the caller's: protobuf_c_message_free_unpacked. An answer
 * other than OK gives ttrpc_code_errno of its code, and its text in err. */
int ttrpc_client_call_wait(struct ttrpc_client *client, const ProtobufCServiceDescriptor *service,
			   const char *method, const ProtobufCMessage *request, int timeout_ms,
			   ProtobufCMessage **response, struct error *err);

/* NOT_FOUND is -ENOENT, DEADLINE_EXCEEDED -ETIMEDOUT, ... and what has no errno -EIO. */
int ttrpc_code_errno(enum ttrpc_code code);
