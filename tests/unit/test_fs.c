/* The share server asked by a scripted client, which mostly keeps the rules. */
#include "fuse_client.h"
#include <errno.h>
#include <sys/xattr.h>

static struct client client;

Test(fs, makes_writes_reads)
{
	uint64_t node = 0, handle = 0;
	struct fuse_attr attr;

	client_open(&client);
	cr_assert_eq(client_create(&client, 1, "a", O_RDWR, 0640, &node, &handle), 0);
	cr_assert_eq(client_write(&client, node, handle, 0, "hello", 5), 0);
	cr_assert_str_eq(host_read(&client, "a"), "hello");
	host_write(&client, "a", "other text");
	cr_assert_eq(client_getattr(&client, node, &attr), 0);
	cr_assert_eq(attr.size, 10);
	cr_assert_eq(attr.mode, S_IFREG | 0640);
	cr_assert_eq(client_read(&client, node, handle, 6, 4096), 0);
	cr_assert_eq(client.answer_size, 4);
	cr_assert_eq(memcmp(client_answer(&client), "text", 4), 0);
	cr_assert_eq(client_release(&client, node, handle), 0);
	cr_assert_eq(client_release(&client, node, handle), -EBADF);
	cr_assert_eq(fs_handle_count(client.fs), 0);
	client_forget(&client, node, 1);
	cr_assert_eq(fs_node_count(client.fs), 1);
	cr_assert_eq(client_getattr(&client, node, NULL), -ESTALE);
	client_close(&client);
}

Test(fs, pipes_and_sockets_are_made_and_not_opened)
{
	const struct {
		const char *name;
		uint32_t mode;
		int error;
	} kinds[] = { { "pipe", S_IFIFO, 0 },       { "socket", S_IFSOCK, 0 },
		      { "file", S_IFREG, 0 },       { "char", S_IFCHR, -EPERM },
		      { "block", S_IFBLK, -EPERM }, { "folder", S_IFDIR, -EPERM } };
	uint64_t node = 0, handle = 0;

	client_open(&client);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct fuse_mknod_in in = { .mode = kinds[i].mode | 0600, .rdev = 0x103 };

		cr_assert_eq(
		    client_ask(&client, FUSE_MKNOD, 1, &in, sizeof in, kinds[i].name, NULL),
		    kinds[i].error, "%s", kinds[i].name);
	}
	cr_assert_eq(client_lookup(&client, 1, "pipe", &node), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), -EACCES);
	cr_assert_eq(client_create(&client, 1, "pipe", O_WRONLY, 0600, NULL, NULL), -EACCES);
	/* a file that becomes a pipe */
	cr_assert_eq(client_lookup(&client, 1, "file", &node), 0);
	cr_assert_eq(unlink(host_path(&client, "file")), 0);
	cr_assert_eq(mkfifo(host_path(&client, "file"), 0600), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), -ESTALE);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_WRONLY, &handle), -ESTALE);
	client_close(&client);
}

Test(fs, read_only_is_kept_by_the_host)
{
	struct fuse_setattr_in mode = { .valid = FATTR_MODE, .mode = 0777 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_rename_in rename_in = { .newdir = 1 };
	uint64_t node = 0, handle = 0;

	client_open_config(&client, (struct fs_config){ .read_only = true });
	client_init(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_WRONLY, &handle), -EROFS);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDWR, &handle), -EROFS);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY | O_TRUNC, &handle),
		     -EROFS);
	cr_assert_eq(client_create(&client, 1, "g", O_RDWR, 0600, NULL, NULL), -EROFS);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &mode, sizeof mode, NULL, NULL),
		     -EROFS);
	cr_assert_eq(client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "d", NULL),
		     -EROFS);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "f", NULL), -EROFS);
	cr_assert_eq(client_ask(&client, FUSE_RENAME, 1, &rename_in, sizeof rename_in, "f", "g"),
		     -EROFS);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), 0);
	cr_assert_eq(client_write(&client, node, handle, 0, "x", 1), -EROFS);
	cr_assert_eq(client_read(&client, node, handle, 0, 10), 0);
	cr_assert_str_eq(host_read(&client, "f"), "text");
	client_close(&client);
}

Test(fs, one_file_alone)
{
	int fd = open("/tmp/katavm-one-file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct fs_config config = { .file_name = "conf" };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	uint64_t node = 0, handle = 0;
	struct fuse_attr attr;

	cr_assert_eq(write(fd, "value", 5), 5);
	close(fd);
	client_open_config(&client, config);
	fs_destroy(client.fs);
	config.io = client.io;
	config.self_fd = client.self_fd;
	config.root_fd = open("/tmp/katavm-one-file", O_PATH | O_CLOEXEC);
	cr_assert_eq(fs_create(&config, &client.fs), 0);
	client_init(&client);
	cr_assert_eq(client_getattr(&client, 1, &attr), 0);
	cr_assert(S_ISDIR(attr.mode));
	cr_assert_eq(client_lookup(&client, 1, "passwd", NULL), -ENOENT);
	cr_assert_eq(client_lookup(&client, 1, "conf", &node), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDWR, &handle), 0);
	cr_assert_eq(client_write(&client, node, handle, 5, "s", 1), 0);
	cr_assert_eq(client_read(&client, node, handle, 0, 10), 0);
	cr_assert_eq(memcmp(client_answer(&client), "values", 6), 0);
	cr_assert_eq(client_create(&client, 1, "more", O_RDWR, 0600, NULL, NULL), -EPERM);
	cr_assert_eq(client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "d", NULL),
		     -EPERM);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "conf", NULL), -EPERM);
	cr_assert_eq(client_lookup(&client, node, "x", NULL), -ENOTDIR);
	client_close(&client);
	unlink("/tmp/katavm-one-file");
}

static unsigned list(uint64_t handle, uint32_t opcode, uint32_t size, char *names)
{
	uint64_t offset = 0;
	unsigned count = 0;

	names[0] = '\0';
	for (;;) {
		struct fuse_read_in in = { .fh = handle, .offset = offset, .size = size };
		size_t at = 0;

		cr_assert_eq(client_ask(&client, opcode, 1, &in, sizeof in, NULL, NULL), 0);
		if (client.answer_size == 0)
			return count;
		while (at < client.answer_size) {
			uint8_t *entry = (uint8_t *)client_answer(&client) + at;
			struct fuse_dirent dirent;
			size_t head = opcode == FUSE_READDIRPLUS ? 128 : 0;

			memcpy(&dirent, entry + head, sizeof dirent);
			if (count < 20) {
				strncat(names, (char *)entry + head + 24, dirent.namelen);
				strcat(names, " ");
			}
			offset = dirent.off;
			at += FUSE_DIRENT_ALIGN(head + 24 + dirent.namelen);
			count++;
		}
	}
}

Test(fs, lists_all_of_many)
{
	char name[32], names[1024];
	uint64_t handle = 0;

	client_open(&client);
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof name, "file-%d", i);
		host_write(&client, name, "");
	}
	cr_assert_eq(client_open_file(&client, 1, FUSE_OPENDIR, 0, &handle), 0);
	cr_assert_eq(list(handle, FUSE_READDIR, 4096, names), 2002);
	cr_assert_eq(list(handle, FUSE_READDIR, 300, names), 2002);
	cr_assert_eq(fs_node_count(client.fs), 1);
	cr_assert_eq(list(handle, FUSE_READDIRPLUS, 4096, names), 2002);
	cr_assert_eq(fs_node_count(client.fs), 2001);
	client_close(&client);
}

/* Each goes on where it was, also without what was read for it. */
Test(fs, many_list_at_a_time)
{
	enum { LISTERS = FS_MAX_LISTINGS + 36, FILES = 200 };
	static struct fuse_read_in in[LISTERS];
	unsigned counts[LISTERS] = { 0 }, ended = 0, most = 0;
	char name[32];

	client_open(&client);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof name, "file-%d", i);
		host_write(&client, name, "");
	}
	for (unsigned i = 0; i < LISTERS; i++) {
		in[i] = (struct fuse_read_in){ .size = 1024 };
		cr_assert_eq(client_open_file(&client, 1, FUSE_OPENDIR, 0, &in[i].fh), 0);
	}
	for (unsigned i = 0; ended < LISTERS; i = (i + 1) % LISTERS) {
		cr_assert_eq(client_ask(&client, FUSE_READDIR, 1, &in[i], sizeof *in, NULL, NULL),
			     0);
		ended = client.answer_size == 0 ? ended + 1 : 0;
		for (size_t at = 0; at < client.answer_size; counts[i]++) {
			struct fuse_dirent dirent;

			memcpy(&dirent, (uint8_t *)client_answer(&client) + at, sizeof dirent);
			in[i].offset = dirent.off;
			at += FUSE_DIRENT_ALIGN(24 + dirent.namelen);
		}
		if (fs_listing_count(client.fs) > most)
			most = fs_listing_count(client.fs);
	}
	for (unsigned i = 0; i < LISTERS; i++)
		cr_assert_eq(counts[i], FILES + 2);
	cr_assert_eq(most, FS_MAX_LISTINGS);
	cr_assert_eq(fs_listing_count(client.fs), 0, "each has come to its end");
	in[0].offset = 0;
	cr_assert_eq(client_ask(&client, FUSE_READDIR, 1, &in[0], sizeof *in, NULL, NULL), 0);
	cr_assert_eq(fs_listing_count(client.fs), 1);
	cr_assert_eq(client_release(&client, 1, in[0].fh), 0);
	cr_assert_eq(fs_listing_count(client.fs), 0);
	client_close(&client);
}

Test(fs, unlinked_but_open)
{
	struct fuse_setattr_in size = { .valid = FATTR_SIZE, .size = 2 };
	uint64_t node = 0, handle = 0, second = 0;
	struct fuse_attr attr;

	client_open(&client);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
	cr_assert_eq(client_write(&client, node, handle, 0, "hello", 5), 0);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "f", NULL), 0);
	cr_assert_eq(client_getattr(&client, node, &attr), 0);
	cr_assert_eq(attr.nlink, 0);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &size, sizeof size, NULL, NULL), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &second), 0);
	cr_assert_eq(client_read(&client, node, second, 0, 10), 0);
	cr_assert_eq(client.answer_size, 2);
	/* forgotten while open: the handle keeps the node */
	client_forget(&client, node, 1);
	cr_assert_eq(client_read(&client, node, second, 0, 10), 0);
	cr_assert_eq(client_release(&client, node, second), 0);
	cr_assert_eq(client_release(&client, node, handle), 0);
	cr_assert_eq(fs_node_count(client.fs), 1);
	client_close(&client);
}

Test(fs, attributes_change)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE | FATTR_MTIME | FATTR_SIZE,
				      .mode = 02711,
				      .mtime = 1000000,
				      .mtimensec = 5,
				      .size = 9 };
	uint64_t node = 0, handle = 0;
	struct fuse_attr attr;

	client_open(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &in, sizeof in, NULL, NULL), 0);
	cr_assert_eq(client_getattr(&client, node, &attr), 0);
	cr_assert_eq(attr.mode, S_IFREG | 02711);
	cr_assert_eq(attr.mtime, 1000000);
	cr_assert_eq(attr.mtimensec, 5);
	cr_assert_eq(attr.size, 9);
	in = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtimensec = 1000000000 };
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &in, sizeof in, NULL, NULL), -EINVAL);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = UINT64_MAX };
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &in, sizeof in, NULL, NULL), -EINVAL);
	in = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0750 };
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, 1, &in, sizeof in, NULL, NULL), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_WRONLY, &handle), 0);
	cr_assert_eq(client_read(&client, node, handle, 0, 10), -EBADF);
	client_close(&client);
}

Test(fs, squashed_files_are_the_guest_roots)
{
	struct fuse_setattr_in owner = { .valid = FATTR_UID | FATTR_GID };
	uint64_t node = 0;
	struct fuse_attr attr;

	client_open_config(&client, (struct fs_config){ .squash = true });
	client_init(&client);
	host_write(&client, "f", "text");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(client_getattr(&client, node, &attr), 0);
	cr_assert_eq(attr.uid, 0);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &owner, sizeof owner, NULL, NULL), 0);
	owner.uid = 33;
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &owner, sizeof owner, NULL, NULL),
		     -EPERM);
	client_close(&client);
}

static uint64_t entry_ns(const char *name, uint64_t *node, uint64_t *attr_ns)
{
	const struct fuse_entry_out *entry = client_answer(&client);

	cr_assert_eq(client_lookup(&client, 1, name, node), 0);
	*attr_ns = entry->attr_valid * 1000000000 + entry->attr_valid_nsec;
	return entry->entry_valid * 1000000000 + entry->entry_valid_nsec;
}

static uint64_t attr_ns(uint64_t node)
{
	const struct fuse_attr_out *attr = client_answer(&client);
	struct fuse_getattr_in in = { 0 };

	cr_assert_eq(client_ask(&client, FUSE_GETATTR, node, &in, sizeof in, NULL, NULL), 0);
	return attr->attr_valid * 1000000000 + attr->attr_valid_nsec;
}

/* A file's name and attributes are asked for each time, where one look gives both; a folder is
 * looked at once a call. */
Test(fs, how_long_attributes_are_true)
{
	const uint64_t day = UINT64_C(86400) * 1000000000;

	for (enum fs_cache cache = FS_CACHE_AUTO; cache <= FS_CACHE_NEVER; cache++) {
		uint64_t least = cache == FS_CACHE_ALWAYS ? day : cache == FS_CACHE_AUTO ? 1 : 0;
		uint64_t most = cache == FS_CACHE_AUTO ? 100000000 : least;
		uint64_t file = cache == FS_CACHE_ALWAYS ? day : 0, node = 0, attr, ns;

		client_open_config(&client, (struct fs_config){ .cache = cache });
		host_write(&client, "f", "text");
		cr_assert_eq(mkdir(host_path(&client, "d"), 0755), 0);
		client_init(&client);
		cr_assert_eq(entry_ns("f", &node, &attr), file);
		cr_assert_eq(attr, least);
		cr_assert_eq(attr_ns(node), file);
		cr_assert_eq(unlink(host_path(&client, "f")), 0);
		cr_assert_eq(client_getattr(&client, node, NULL), -ESTALE);
		ns = entry_ns("d", &node, &attr);
		cr_assert(ns >= least && ns <= most && attr == ns);
		cr_assert(attr_ns(node) >= least && attr_ns(node) <= most);
		cr_assert(attr_ns(1) >= least && attr_ns(1) <= most);
		client_close(&client);
	}
}

static int set_attribute(uint64_t node, const char *name, const char *value)
{
	struct fuse_setxattr_in in = { .size = (uint32_t)strlen(value) };
	uint8_t words[512];
	size_t size = strlen(name) + 1;

	memcpy(words, name, size);
	memcpy(words + size, value, in.size);
	memcpy(client_body(&client), &in, 8);
	memcpy((uint8_t *)client_body(&client) + 8, words, size + in.size);
	(void)client_send(&client, FUSE_SETXATTR, node, (uint32_t)(40 + 8 + size + in.size),
			  8 + size + in.size, 4096);
	return client_error(&client);
}

Test(fs, attributes_of_users_only)
{
	struct fuse_getxattr_in get = { .size = 100 };
	uint64_t node = 0;
	bool known;
	int refused;

	client_open(&client);
	host_write(&client, "f", "text");
	/* where there are none (tmpfs before Linux 6.6), the guest shall not ask again */
	known = setxattr(client.path, "user.known", "", 0, 0) == 0;
	refused = known ? -EOPNOTSUPP : -ENOSYS;
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(set_attribute(node, "security.capability", "x"), refused);
	cr_assert_eq(set_attribute(node, "trusted.overlay.opaque", "y"), refused);
	cr_assert_eq(set_attribute(node, "system.posix_acl_access", "z"), refused);
	cr_assert_eq(set_attribute(node, "user.colour", "blue"), known ? 0 : refused);
	if (known) {
		cr_assert_eq(
		    client_ask(&client, FUSE_GETXATTR, node, &get, sizeof get, "user.colour", NULL),
		    0);
		cr_assert_eq(memcmp(client_answer(&client), "blue", 4), 0);
		cr_assert_eq(
		    client_ask(&client, FUSE_LISTXATTR, node, &get, sizeof get, NULL, NULL), 0);
		cr_assert_str_eq(client_answer(&client), "user.colour");
		get.size = 2;
		cr_assert_eq(
		    client_ask(&client, FUSE_GETXATTR, node, &get, sizeof get, "user.colour", NULL),
		    -ERANGE);
		cr_assert_eq(
		    client_ask(&client, FUSE_REMOVEXATTR, node, NULL, 0, "user.colour", NULL), 0);
	}
	client_close(&client);
}

Test(fs, nonsense_is_refused)
{
	struct fuse_getattr_in get = { 0 };
	uint64_t node = 0, handle = 0;

	client_open_config(&client, (struct fs_config){ .max_nodes = 4 });
	/* nothing before the start */
	cr_assert_eq(client_ask(&client, FUSE_GETATTR, 1, &get, sizeof get, NULL, NULL), -EIO);
	client_init(&client);
	for (uint32_t opcode = 0; opcode < 70; opcode++) {
		(void)client_send(&client, opcode, 1, 40, 0, 4096);
		client_wait(&client);
		(void)client_send(&client, opcode, UINT64_MAX, 400, 60, 4096);
		client_wait(&client);
		(void)client_send(&client, opcode, 1, UINT32_MAX, 60, 4096);
		client_wait(&client);
		(void)client_send(&client, opcode, 1, 3, 60, 4096);
		client_wait(&client);
		(void)client_send(&client, opcode, 1, 100, 60, 3); /* no room for an answer */
		client_wait(&client);
	}
	cr_assert_eq(client_ask(&client, 4095, 1, NULL, 0, NULL, NULL), -ENOSYS);
	fs_reset(client.fs);
	client_init(&client);
	cr_assert_eq(client_getattr(&client, 2, NULL), -ESTALE);
	cr_assert_eq(client_getattr(&client, UINT64_C(1) << 32 | 1, NULL), -ESTALE);
	cr_assert_eq(client_create(&client, 1, "f", O_RDWR, 0600, &node, &handle), 0);
	cr_assert_eq(client_read(&client, node, handle + 1, 0, 10), -EBADF);
	cr_assert_eq(client_read(&client, 1, handle, 0, 10), -EBADF);
	cr_assert_eq(client_read(&client, node, handle, UINT64_MAX, 10), -EINVAL);
	cr_assert_eq(client_read(&client, node, handle, 0, UINT32_MAX), -EINVAL);
	{
		struct fuse_write_in in = { .fh = handle, .size = UINT32_MAX };

		memcpy(client_body(&client), &in, sizeof in);
		(void)client_send(&client, FUSE_WRITE, node, 40 + sizeof in + 10, sizeof in + 10,
				  4096);
		cr_assert_eq(client_error(&client), -EINVAL);
	}
	cr_assert_eq(client_create(&client, 1, "g", O_RDWR, 0600, NULL, NULL), 0);
	cr_assert_eq(client_create(&client, 1, "h", O_RDWR, 0600, NULL, NULL), 0);
	cr_assert_eq(client_create(&client, 1, "i", O_RDWR, 0600, NULL, NULL), -ENFILE);
	fs_reset(client.fs);
	cr_assert_eq(fs_handle_count(client.fs), 0);
	cr_assert_eq(fs_node_count(client.fs), 1);
	client_close(&client);
}
