#pragma once
/* A guest's kernel for tests of the share server: makes FUSE requests, with nothing that keeps it
 * from breaking the rules, and reads the answers. No VM: chains are made of this process's memory.
 */
#include "base/sys.h"
#include "devices/fs/fs.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct client {
	char path[64]; /* the host's folder */
	int self_fd;
	struct io *io;
	struct fs *fs;
	uint64_t unique;
	bool done;
	struct fs_call call;
	uint8_t request[96 * 1024], answer[96 * 1024];
	size_t answer_size; /* without the header */
};

static inline void client_done(struct fs_call *call)
{
	struct client *client = (struct client *)((char *)call - offsetof(struct client, call));

	client->done = true;
}

static inline void client_open_config(struct client *client, struct fs_config config)
{
	memset(client, 0, sizeof *client);
	(void)snprintf(client->path, sizeof client->path, "/tmp/katavm-fs-XXXXXX");
	cr_assert(mkdtemp(client->path));
	client->self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert(client->self_fd >= 0 && fchdir(client->self_fd) == 0);
	(void)umask(0);
	cr_assert_eq(io_create(&(struct io_config){ .backend = IO_BACKEND_AUTO }, &client->io), 0);
	config.io = client->io;
	config.self_fd = client->self_fd;
	config.root_fd = open(client->path, O_PATH | O_CLOEXEC);
	cr_assert_eq(fs_create(&config, &client->fs), 0);
}

static inline void client_close(struct client *client)
{
	char command[128];

	fs_interrupt_all(client->fs);
	fs_destroy(client->fs);
	io_destroy(client->io);
	close(client->self_fd);
	(void)snprintf(command, sizeof command, "rm -rf %s", client->path);
	cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own folder */
}

/* Header and body as they are; len is what the header says. */
static inline void client_make(struct client *client, uint32_t opcode, uint64_t node, uint32_t len,
			       size_t body_size, size_t room)
{
	struct fuse_in_header header = { .len = len,
					 .opcode = opcode,
					 .unique = ++client->unique,
					 .nodeid = node,
					 .uid = geteuid(),
					 .gid = getegid() };

	memcpy(client->request, &header, sizeof header);
	memset(&client->call.chain, 0, sizeof client->call.chain);
	client->call.chain.segments[0] =
	    (struct iovec){ client->request, sizeof header + body_size };
	client->call.chain.readable_count = 1;
	client->call.chain.segments[1] = (struct iovec){ client->answer, room };
	client->call.chain.writable_count = room > 0;
	client->call.done = client_done;
}

/* False: still on its way. */
static inline bool client_send(struct client *client, uint32_t opcode, uint64_t node, uint32_t len,
			       size_t body_size, size_t room)
{
	client_make(client, opcode, node, len, body_size, room);
	client->done = fs_serve(client->fs, &client->call);
	return client->done;
}

static inline void client_wait(struct client *client)
{
	while (!client->done)
		cr_assert_eq(io_turn(client->io, 10), 0);
}

/* The answer's error; its body is at client->answer + 16. */
static inline int client_error(struct client *client)
{
	struct fuse_out_header out;

	client_wait(client);
	cr_assert(client->call.chain.write_position >= sizeof out, "no answer");
	memcpy(&out, client->answer, sizeof out);
	cr_assert_eq(out.unique, client->unique);
	cr_assert_eq(out.len, client->call.chain.write_position);
	client->answer_size = out.len - sizeof out;
	return out.error;
}

static inline void *client_body(struct client *client)
{
	return client->request + sizeof(struct fuse_in_header);
}

static inline void *client_answer(struct client *client)
{
	return client->answer + sizeof(struct fuse_out_header);
}

/* A request with a fixed part, and then up to two words with their zeroes. */
static inline int client_ask(struct client *client, uint32_t opcode, uint64_t node,
			     const void *fixed, size_t fixed_size, const char *first,
			     const char *second)
{
	uint8_t *at = client_body(client);
	size_t size = fixed_size;

	memset(client->answer, 0, 512);
	if (fixed_size > 0)
		memcpy(at, fixed, fixed_size);
	if (first) {
		memcpy(at + size, first, strlen(first) + 1);
		size += strlen(first) + 1;
	}
	if (second) {
		memcpy(at + size, second, strlen(second) + 1);
		size += strlen(second) + 1;
	}
	(void)client_send(client, opcode, node, (uint32_t)(40 + size), size, sizeof client->answer);
	return client_error(client);
}

static inline void client_init(struct client *client)
{
	struct fuse_init_in in = { .major = 7,
				   .minor = 40,
				   .max_readahead = 1 << 17,
				   .flags = UINT32_MAX,
				   .flags2 = UINT32_MAX };

	cr_assert_eq(client_ask(client, FUSE_INIT, 0, &in, sizeof in, NULL, NULL), 0);
}

static inline void client_open(struct client *client)
{
	client_open_config(client, (struct fs_config){ 0 });
	client_init(client);
}

static inline int client_lookup(struct client *client, uint64_t parent, const char *name,
				uint64_t *node)
{
	int error = client_ask(client, FUSE_LOOKUP, parent, NULL, 0, name, NULL);
	struct fuse_entry_out out;

	if (error == 0 && node) {
		memcpy(&out, client_answer(client), sizeof out);
		*node = out.nodeid;
	}
	return error;
}

static inline int client_create(struct client *client, uint64_t parent, const char *name,
				uint32_t flags, uint32_t mode, uint64_t *node, uint64_t *handle)
{
	struct fuse_create_in in = { .flags = flags | O_CREAT, .mode = S_IFREG | mode };
	int error = client_ask(client, FUSE_CREATE, parent, &in, sizeof in, name, NULL);
	struct fuse_entry_out *entry = client_answer(client);
	struct fuse_open_out open;

	memcpy(&open, entry + 1, sizeof open);
	if (error == 0 && node)
		*node = entry->nodeid;
	if (error == 0 && handle)
		*handle = open.fh;
	return error;
}

static inline int client_open_file(struct client *client, uint64_t node, uint32_t opcode,
				   uint32_t flags, uint64_t *handle)
{
	struct fuse_open_in in = { .flags = flags };
	int error = client_ask(client, opcode, node, &in, sizeof in, NULL, NULL);
	struct fuse_open_out *out = client_answer(client);

	if (error == 0)
		*handle = out->fh;
	return error;
}

static inline int client_release(struct client *client, uint64_t node, uint64_t handle)
{
	struct fuse_release_in in = { .fh = handle };

	return client_ask(client, FUSE_RELEASE, node, &in, sizeof in, NULL, NULL);
}

static inline int client_write(struct client *client, uint64_t node, uint64_t handle,
			       uint64_t offset, const void *data, uint32_t size)
{
	struct fuse_write_in in = { .fh = handle, .offset = offset, .size = size };

	memcpy(client_body(client), &in, sizeof in);
	memcpy((uint8_t *)client_body(client) + sizeof in, data, size);
	(void)client_send(client, FUSE_WRITE, node, (uint32_t)(40 + sizeof in + size),
			  sizeof in + size, 64);
	return client_error(client);
}

static inline int client_read(struct client *client, uint64_t node, uint64_t handle,
			      uint64_t offset, uint32_t size)
{
	struct fuse_read_in in = { .fh = handle, .offset = offset, .size = size };

	return client_ask(client, FUSE_READ, node, &in, sizeof in, NULL, NULL);
}

static inline int client_getattr(struct client *client, uint64_t node, struct fuse_attr *out)
{
	struct fuse_getattr_in in = { 0 };
	int error = client_ask(client, FUSE_GETATTR, node, &in, sizeof in, NULL, NULL);

	if (error == 0 && out)
		*out = ((struct fuse_attr_out *)client_answer(client))->attr;
	return error;
}

static inline void client_forget(struct client *client, uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = { .nlookup = count };

	memcpy(client_body(client), &in, sizeof in);
	cr_assert(client_send(client, FUSE_FORGET, node, 40 + sizeof in, sizeof in, 0));
	cr_assert_eq(client->call.chain.write_position, 0);
}

/* On the host's side of the share. */
static inline const char *host_path(const struct client *client, const char *name)
{
	static char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", client->path, name);
	return path;
}

static inline void host_write(const struct client *client, const char *name, const char *text)
{
	int fd = open(host_path(client, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static inline const char *host_read(const struct client *client, const char *name)
{
	static char text[512];
	int fd = open(host_path(client, name), O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	text[n < 0 ? 0 : n] = '\0';
	close(fd);
	return text;
}
