/*
 * A message is its header, the family's header and attributes, all aligned to four bytes. Answers
 * come in datagrams of several messages; a dump ends with NLMSG_DONE, everything else with
 * NLMSG_ERROR, whose error 0 is the acknowledgement.
 */
#include "base/netlink.h"

#include "base/own.h"
#include "base/sys.h"
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_SIZE = 32 << 10, ALIGNMENT = 4 };

static size_t aligned(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

int netlink_open(int protocol, struct netlink *out)
{
	const int yes = 1;
	int fd = (int)SYS(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return fd;
	/* A dump that is filtered by the kernel, where it can; errors without the request's copy.
	 */
	(void)SYS(setsockopt, fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &yes, sizeof yes);
	(void)SYS(setsockopt, fd, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes);
	*out = (struct netlink){ .fd = fd, .sequence = 1 };
	return 0;
}

void netlink_close(const struct netlink *netlink)
{
	own_fd_release(&netlink->fd);
}

/* Room for size bytes at the end, zeroed; NULL when there is none. */
static void *extend(struct netlink_message *message, size_t size)
{
	uint8_t *at = message->bytes + message->size;

	if (message->overflow || size > sizeof message->bytes - message->size) {
		message->overflow = true;
		return NULL;
	}
	memset(at, 0, size);
	message->size += size;
	return at;
}

void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags,
		   const void *header, size_t header_size)
{
	struct nlmsghdr *head;
	void *at;

	message->size = 0;
	message->overflow = false;
	head = extend(message, sizeof *head);
	head->nlmsg_type = type;
	head->nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
	at = extend(message, aligned(header_size));
	if (at)
		memcpy(at, header, header_size);
}

void netlink_put(struct netlink_message *message, uint16_t type, const void *data, size_t size)
{
	const struct nlattr head = { .nla_len = (uint16_t)(sizeof head + size), .nla_type = type };
	uint8_t *at;

	if (size > sizeof message->bytes) {
		message->overflow = true;
		return;
	}
	at = extend(message, aligned(sizeof head + size));
	if (!at)
		return;
	memcpy(at, &head, sizeof head);
	if (size > 0)
		memcpy(at + sizeof head, data, size);
}

void netlink_put_text(struct netlink_message *message, uint16_t type, const char *text)
{
	netlink_put(message, type, text, strlen(text) + 1);
}

void netlink_put_u32(struct netlink_message *message, uint16_t type, uint32_t value)
{
	netlink_put(message, type, &value, sizeof value);
}

size_t netlink_nest(struct netlink_message *message, uint16_t type)
{
	size_t nest = message->size;

	netlink_put(message, (uint16_t)(type | NLA_F_NESTED), NULL, 0);
	return nest;
}

void netlink_nest_end(struct netlink_message *message, size_t nest)
{
	const uint16_t size = (uint16_t)(message->size - nest);

	if (!message->overflow) /* nla_len is the first member */
		memcpy(message->bytes + nest, &size, sizeof size);
}

static int send_message(struct netlink *netlink, struct netlink_message *message, uint16_t flags)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr head;
	long sent;

	if (message->overflow)
		return -EMSGSIZE;
	memcpy(&head, message->bytes, sizeof head);
	head.nlmsg_len = (uint32_t)message->size;
	head.nlmsg_flags |= flags;
	head.nlmsg_seq = ++netlink->sequence;
	memcpy(message->bytes, &head, sizeof head);
	sent = SYS_RETRY(sendto, netlink->fd, message->bytes, message->size, 0,
			 (const struct sockaddr *)&kernel, sizeof kernel);
	return sent < 0 ? (int)sent : 0;
}

struct answer {
	uint32_t sequence;
	size_t header_size;
	netlink_reader *reader; /* or NULL */
	void *context;
	bool done;
	int result;
};

static void read_one(struct answer *answer, const struct nlmsghdr *head, const uint8_t *body,
		     size_t size)
{
	size_t skip = aligned(answer->header_size);
	int error = 0;

	if (head->nlmsg_seq != answer->sequence) /* of a request given up earlier */
		return;
	if (head->nlmsg_type == NLMSG_ERROR || head->nlmsg_type == NLMSG_DONE) {
		if (size >= sizeof error)
			memcpy(&error, body, sizeof error);
		answer->done = true;
		if (answer->result == 0 && error < 0)
			answer->result = error;
	} else if (answer->reader && answer->result == 0 && size >= skip) {
		answer->result = answer->reader(answer->context, head->nlmsg_type, body,
						body + skip, size - skip);
	}
}

static int read_datagram(struct answer *answer, const uint8_t *bytes, size_t size)
{
	while (!answer->done && size >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr head;

		memcpy(&head, bytes, sizeof head);
		if (head.nlmsg_len < sizeof head || head.nlmsg_len > size)
			return -EBADMSG;
		read_one(answer, &head, bytes + sizeof head, head.nlmsg_len - sizeof head);
		if (aligned(head.nlmsg_len) >= size)
			return 0;
		bytes += aligned(head.nlmsg_len);
		size -= aligned(head.nlmsg_len);
	}
	return 0;
}

/* The kernel's socket is the only one that can send to this one unless root does: the sender's port
 * is checked all the same. */
static int read_answer(const struct netlink *netlink, struct answer *answer)
{
	_Alignas(8) static _Thread_local uint8_t bytes[ANSWER_SIZE];

	while (!answer->done) {
		struct sockaddr_nl from = { 0 };
		struct iovec part = { .iov_base = bytes, .iov_len = sizeof bytes };
		struct msghdr message = { .msg_name = &from,
					  .msg_namelen = sizeof from,
					  .msg_iov = &part,
					  .msg_iovlen = 1 };
		long got = SYS_RETRY(recvmsg, netlink->fd, &message, 0);
		int r;

		if (got < 0)
			return (int)got;
		if (message.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		if (from.nl_pid != 0)
			continue;
		r = read_datagram(answer, bytes, (size_t)got);
		if (r < 0)
			return r;
	}
	return answer->result;
}

int netlink_request(struct netlink *netlink, struct netlink_message *message)
{
	return netlink_ask(netlink, message, 0, NULL, NULL);
}

int netlink_ask(struct netlink *netlink, struct netlink_message *message, size_t header_size,
		netlink_reader *reader, void *context)
{
	struct answer answer = { .header_size = header_size, .reader = reader, .context = context };
	struct nlmsghdr head;
	int r;

	memcpy(&head, message->bytes, sizeof head);
	/* a dump ends by itself and takes the flag amiss in no kernel; all else needs it to end */
	r = send_message(netlink, message,
			 (head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP ? 0 : NLM_F_ACK);
	answer.sequence = netlink->sequence;
	return r < 0 ? r : read_answer(netlink, &answer);
}

bool netlink_next(const void **at, size_t *left, struct netlink_attribute *out)
{
	const uint8_t *bytes = *at;
	struct nlattr head;
	size_t step;

	if (*left < sizeof head)
		return false;
	memcpy(&head, bytes, sizeof head);
	if (head.nla_len < sizeof head || head.nla_len > *left)
		return false;
	out->type = (uint16_t)(head.nla_type & 0x3fff); /* NLA_TYPE_MASK */
	out->data = bytes + sizeof head;
	out->size = head.nla_len - sizeof head;
	step = aligned(head.nla_len);
	*left = step < *left ? *left - step : 0;
	*at = bytes + step;
	return true;
}

bool netlink_find(const void *attributes, size_t size, uint16_t type, struct netlink_attribute *out)
{
	struct netlink_attribute one;

	while (netlink_next(&attributes, &size, &one)) {
		if (one.type == type) {
			*out = one;
			return true;
		}
	}
	return false;
}
