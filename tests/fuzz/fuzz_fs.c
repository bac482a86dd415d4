/*
 * The share server on an empty folder in memory. An input is requests, each: u8 operation, u8 node,
 * u8 length of the body, its bytes. Operations 126 and 127 are those of events, 125
 * is something that the host does. With the top bit of
 * the operation set the header's length is a lie. Handles and nodes are small numbers, so that an
 * input finds them; a session starts by the rules.
 */
#include "base/check.h"
#include "base/log.h"
#include "devices/fs/events.h"
#include "devices/fs/fs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_REQUESTS = 64 };

static uint8_t request[40 + 256 + 4096], answer[80 * 1024];
static bool done;

static void answered(struct fs_call *call)
{
	(void)call;
	done = true;
}

static void ask(struct io *io, struct fs *fs, uint32_t opcode, uint64_t node, uint32_t len,
		size_t body)
{
	static struct fs_call call;
	struct fuse_in_header in = { .len = len, .opcode = opcode, .unique = 1, .nodeid = node };

	memcpy(request, &in, sizeof in);
	memset(&call.chain, 0, sizeof call.chain);
	call.chain.segments[0] = (struct iovec){ request, sizeof in + body };
	call.chain.readable_count = 1;
	call.chain.segments[1] = (struct iovec){ answer, sizeof answer };
	call.chain.writable_count = 1;
	call.done = answered;
	done = fs_serve(fs, &call);
	for (int turns = 0; !done; turns++) {
		if (turns > 3 || opcode == FS_EVENTS)
			fs_interrupt_all(fs);
		CHECK(io_turn(io, 1) == 0);
	}
}

static void clear(const char *path)
{
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf %s", path);
	CHECK(system(command) == 0); /* NOLINT(cert-env33-c): a folder of our own */
}

static uint32_t opcode_of(uint8_t byte)
{
	byte &= 0x7f;
	return byte < 126 ? byte : FS_WATCH + byte - 126U;
}

static void on_host(int folder, unsigned what)
{
	static const char *const names[] = { "one", "two" };

	if (what % 4 == 0)
		(void)mkdirat(folder, names[what / 4 % 2], 0700);
	else if (what % 4 == 1)
		(void)renameat(folder, names[what / 4 % 2], folder, names[(what / 4 + 1) % 2]);
	else if (what % 4 == 2)
		(void)unlinkat(folder, names[what / 4 % 2], AT_REMOVEDIR);
	else
		(void)utimensat(folder, names[what / 4 % 2], NULL, 0);
}

static void serve(struct io *io, struct fs *fs, int host, const uint8_t *data, size_t size)
{
	struct fuse_init_in init = { .major = 7, .minor = 38, .flags = UINT32_MAX };

	memcpy(request + 40, &init, sizeof init);
	ask(io, fs, FUSE_INIT, 0, 40 + sizeof init, sizeof init);
	for (int i = 0; i < MAX_REQUESTS && size >= 3; i++) {
		size_t body = data[2];
		uint32_t lie = data[0] & 0x80 ? 4096 : 0;

		if (body > size - 3)
			body = size - 3;
		memset(request + 40, 0, sizeof request - 40);
		memcpy(request + 40, data + 3, body);
		/* the server syncs the whole file system: not here */
		if ((data[0] & 0x7f) == 125)
			on_host(host, data[1]);
		else if ((data[0] & 0x7f) != FUSE_SYNCFS)
			ask(io, fs, opcode_of(data[0]), data[1], (uint32_t)(40 + body) + lie,
			    data[0] & 1 ? body : body + 4096);
		data += 3 + body;
		size -= 3 + body;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/dev/shm/katavm-fuzz-fs-XXXXXX";
	struct fs_config config = { .max_nodes = 16 };
	struct io *io;
	struct fs *fs;
	int before, host;

	if (size == 0)
		return 0;
	log_level = LOG_LEVEL_ERROR;
	CHECK(mkdtemp(path));
	before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	config.self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(config.self_fd >= 0 && fchdir(config.self_fd) == 0);
	config.root_fd = open(path, O_PATH | O_CLOEXEC);
	config.read_only = data[size - 1] == 0xff;
	config.cache = (enum fs_cache)(data[size - 1] % 3);
	config.notify = data[size - 1] & 0x10;
	CHECK(io_create(&(struct io_config){ .backend = IO_BACKEND_EPOLL }, &io) == 0);
	config.io = io;
	CHECK(fs_create(&config, &fs) == 0);
	host = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(host >= 0);
	serve(io, fs, host, data, size);
	(void)close(host);
	fs_destroy(fs);
	io_destroy(io);
	(void)close(config.self_fd);
	CHECK(fchdir(before) == 0);
	(void)close(before);
	clear(path);
	return 0;
}
