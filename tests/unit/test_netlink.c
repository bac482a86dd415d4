#include "base/netlink.h"
#include "base/own.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct netlink_message message;

Test(netlink, attributes_are_read_as_written)
{
	const struct ifinfomsg head = { .ifi_index = 7 };
	struct netlink_attribute one, inner;
	const void *at;
	size_t nest, left;

	netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE, &head, sizeof head);
	netlink_put_text(&message, IFLA_IFNAME, "ab");
	nest = netlink_nest(&message, IFLA_LINKINFO);
	netlink_put_u32(&message, IFLA_INFO_KIND, 5);
	netlink_nest_end(&message, nest);
	netlink_put(&message, IFLA_MTU, NULL, 0);
	cr_assert_eq(message.size % 4, 0);
	at = message.bytes + sizeof(struct nlmsghdr) + sizeof head;
	left = message.size - sizeof(struct nlmsghdr) - sizeof head;
	cr_assert(netlink_find(at, left, IFLA_MTU, &one) && one.size == 0);
	cr_assert(netlink_next(&at, &left, &one));
	cr_assert(one.type == IFLA_IFNAME && one.size == 3 && strcmp(one.data, "ab") == 0);
	cr_assert(netlink_next(&at, &left, &one) && one.type == IFLA_LINKINFO);
	cr_assert(netlink_find(one.data, one.size, IFLA_INFO_KIND, &inner) && inner.size == 4);
	cr_assert(netlink_next(&at, &left, &one) && one.type == IFLA_MTU);
	cr_assert_not(netlink_next(&at, &left, &one));
}

Test(netlink, attributes_that_lie)
{
	const uint8_t longer[8] = { 9, 0, 1, 0 }, shorter[8] = { 3, 0, 1, 0 };
	struct netlink_attribute one;

	cr_assert_not(netlink_find(longer, sizeof longer, 1, &one));
	cr_assert_not(netlink_find(shorter, sizeof shorter, 1, &one));
	cr_assert_not(netlink_find(longer, 3, 1, &one));
}

Test(netlink, too_long)
{
	static const uint8_t much[NETLINK_MESSAGE_SIZE];
	struct netlink netlink = { .fd = -1 };
	const struct ifinfomsg head = { 0 };

	netlink_begin(&message, RTM_NEWLINK, 0, &head, sizeof head);
	netlink_put(&message, IFLA_IFNAME, much, sizeof much);
	cr_assert_eq(netlink_request(&netlink, &message), -EMSGSIZE);
	netlink_begin(&message, RTM_NEWLINK, 0, &head, sizeof head);
	netlink_put(&message, IFLA_IFNAME, much, sizeof much + 1);
	cr_assert(message.overflow);
}

static int count_loopback(void *context, uint16_t type, const void *header, const void *attributes,
			  size_t size)
{
	struct netlink_attribute name;

	(void)header;
	if (type == RTM_NEWLINK && netlink_find(attributes, size, IFLA_IFNAME, &name) &&
	    strcmp(name.data, "lo") == 0)
		++*(int *)context;
	return 0;
}

static int refuse(void *context, uint16_t type, const void *header, const void *attributes,
		  size_t size)
{
	(void)context;
	(void)type;
	(void)header;
	(void)attributes;
	(void)size;
	return -EDOM;
}

/* What every kernel answers to everybody. */
Test(netlink, kernel)
{
	const struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	const struct ifinfomsg missing = { .ifi_family = AF_UNSPEC, .ifi_index = 0x7ffffff0 };
	const struct ifinfomsg first = { .ifi_family = AF_UNSPEC, .ifi_index = 1 };
	struct netlink netlink;
	own_fd fd = -1;
	int found = 0;

	cr_assert_eq(netlink_open(NETLINK_ROUTE, &netlink), 0);
	fd = netlink.fd;
	netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &any, sizeof any);
	cr_assert_eq(netlink_ask(&netlink, &message, sizeof any, count_loopback, &found), 0);
	cr_assert_eq(found, 1);
	netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &any, sizeof any);
	cr_assert_eq(netlink_ask(&netlink, &message, sizeof any, refuse, NULL), -EDOM);
	netlink_begin(&message, RTM_GETLINK, 0, &first, sizeof first);
	cr_assert_eq(netlink_ask(&netlink, &message, sizeof any, count_loopback, &found), 0);
	cr_assert_eq(found, 2, "the dump's rest is not taken for this answer");
	netlink_begin(&message, RTM_GETLINK, 0, &missing, sizeof missing);
	cr_assert_eq(netlink_request(&netlink, &message), -ENODEV);
}
