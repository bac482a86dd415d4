#include "base/own.h"
#include "devices/virtio_console.h"
#include "guest.h"
#include <fcntl.h>

enum { RX, TX };

static struct guest guest;
static int output[2], input[2];

static void open_backend(enum io_backend backend)
{
	struct virtio_device *device;

	cr_assert_eq(pipe2(output, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(input, O_CLOEXEC), 0);
	cr_assert_eq(virtio_console_create(&(struct virtio_console_config){ .output_fd = output[1],
									    .input_fd = input[0] },
					   &device),
		     0);
	guest_open_backend(&guest, device, backend);
	cr_assert_eq(guest_start(&guest, 0), 15);
}

static void close_all(void)
{
	guest_close(&guest);
	close(output[0]);
	close(output[1]);
	close(input[0]);
	close(input[1]);
}

static void say(uint16_t head, const char *text)
{
	size_t at = GUEST_DATA + head * 0x1000U;

	memcpy(guest_ram + at, text, strlen(text));
	guest_set_desc(TX, head, at, (uint32_t)strlen(text), 0, 0);
	guest_offer(&guest, TX, head);
	guest_kick(&guest, TX);
}

#define CONSOLE_TEST(name)                                                                         \
	static void test_##name(void);                                                             \
	Test(console_auto, name)                                                                   \
	{                                                                                          \
		open_backend(IO_BACKEND_AUTO);                                                     \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	Test(console_epoll, name)                                                                  \
	{                                                                                          \
		open_backend(IO_BACKEND_EPOLL);                                                    \
		test_##name();                                                                     \
		close_all();                                                                       \
	}                                                                                          \
	static void test_##name(void)

CONSOLE_TEST(output_in_order)
{
	char b[32] = "";

	say(0, "Linux ");
	say(1, "version");
	(void)guest_wait(&guest, TX);
	(void)guest_wait(&guest, TX);
	cr_assert_eq(read(output[0], b, sizeof b), 13);
	cr_assert_str_eq(b, "Linux version");
}

CONSOLE_TEST(slow_reader_holds_the_guest_and_loses_nothing)
{
	enum { CHUNK = 4000, CHUNKS = 60 };
	static char text[CHUNK + 1], b[65536];
	unsigned offered = 0;
	size_t got = 0;

	memset(text, 'x', CHUNK);
	for (; offered < 16; offered++)
		say((uint16_t)offered, text);
	guest_turn(&guest);
	while (got < CHUNKS * (size_t)CHUNK) {
		struct vring_used_elem used;
		struct pollfd ready = { .fd = output[0], .events = POLLIN };

		while (guest_take(&guest, TX, &used)) {
			if (offered < CHUNKS) {
				say((uint16_t)used.id, text);
				offered++;
			}
		}
		if (poll(&ready, 1, 0) == 1)
			got += (size_t)read(output[0], b, sizeof b);
		cr_assert_eq(io_turn(guest.io, 2), 0);
	}
	cr_assert_eq(got, CHUNKS * (size_t)CHUNK);
}

CONSOLE_TEST(reader_that_is_gone_does_not_stop_the_guest)
{
	close(output[0]);
	say(0, "nobody");
	say(1, "hears");
	(void)guest_wait(&guest, TX);
	(void)guest_wait(&guest, TX);
	output[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

CONSOLE_TEST(input_waits_for_a_buffer)
{
	cr_assert_eq(write(input[1], "ls\n", 3), 3);
	guest_turn(&guest);
	guest_set_desc(RX, 0, GUEST_DATA, 2, VRING_DESC_F_WRITE, 0);
	guest_set_desc(RX, 1, GUEST_DATA + 2, 64, VRING_DESC_F_WRITE, 0);
	guest_offer(&guest, RX, 0);
	guest_kick(&guest, RX);
	cr_assert_eq(guest_wait(&guest, RX).len, 2);
	guest_offer(&guest, RX, 1);
	guest_kick(&guest, RX);
	cr_assert_eq(guest_wait(&guest, RX).len, 1);
	cr_assert_arr_eq(guest_ram + GUEST_DATA, "ls\n", 3);
}

CONSOLE_TEST(reset_while_the_reader_is_slow)
{
	static char text[4001];

	memset(text, 'x', sizeof text - 1);
	for (int round = 0; round < 5; round++) {
		for (uint16_t i = 0; i < 16; i++)
			say(i, text);
		guest_turn(&guest);
		cr_assert_eq(guest_start(&guest, 0), 15);
		cr_assert_eq(guest_used_index(TX), 0);
	}
}
