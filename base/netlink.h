#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Netlink, as much of it as links, addresses, routes, neighbours and traffic control need: one
 * request at a time, each acknowledged. Used on the host and in the guest. One thread owns a
 * socket. Everything answers with -errno, which may be the kernel's answer to the request.
 */
struct netlink {
	int fd; /* close it when done */
	uint32_t sequence;
};

enum { NETLINK_MESSAGE_SIZE = 2048 };

/* A request being written. What does not fit makes netlink_request answer -EMSGSIZE. */
struct netlink_message {
	_Alignas(4) uint8_t bytes[NETLINK_MESSAGE_SIZE];
	size_t size;
	bool overflow;
};

struct netlink_attribute {
	uint16_t type; /* without the flags for nesting and byte order */
	const void *data;
	size_t size;
};

/* protocol: NETLINK_ROUTE or NETLINK_NETFILTER. */
int netlink_open(int protocol, struct netlink *out);
void netlink_close(const struct netlink *netlink);

/* Closed at the end of its scope: own_netlink netlink = NETLINK_CLOSED; */
#define own_netlink __attribute__((cleanup(netlink_close))) struct netlink
#define NETLINK_CLOSED                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* type and flags as in struct nlmsghdr (NLM_F_REQUEST and NLM_F_ACK are added), then the family's
 * own header: struct ifinfomsg and its like. */
void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags,
		   const void *header, size_t header_size);
void netlink_put(struct netlink_message *message, uint16_t type, const void *data, size_t size);
void netlink_put_text(struct netlink_message *message, uint16_t type, const char *text);
void netlink_put_u32(struct netlink_message *message, uint16_t type, uint32_t value);
/* Attributes until netlink_nest_end belong to one of this type. */
size_t netlink_nest(struct netlink_message *message, uint16_t type);
void netlink_nest_end(struct netlink_message *message, size_t nest);

/* Sends it and waits for what the kernel says of it. */
int netlink_request(struct netlink *netlink, struct netlink_message *message);

/* One message of an answer: its type, its family's header (at least header_size bytes of it, as
 * given to netlink_ask) and the attributes behind that. A negative result ends the reading and is
 * netlink_ask's. */
typedef int netlink_reader(void *context, uint16_t type, const void *header, const void *attributes,
			   size_t attributes_size);

/* A request that is answered with messages, one or (NLM_F_DUMP) many. */
int netlink_ask(struct netlink *netlink, struct netlink_message *message, size_t header_size,
		netlink_reader *reader, void *context);

/* The next of the attributes: *at and *left go on behind it. False: there is none. */
bool netlink_next(const void **at, size_t *left, struct netlink_attribute *out);
/* The attribute of this type, or false. */
bool netlink_find(const void *attributes, size_t size, uint16_t type,
		  struct netlink_attribute *out);
