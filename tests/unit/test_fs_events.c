/* What others do on the host, as the guest is told of it. The host's side is this process, too: who
 * did it must not matter. */
#include "fuse_client.h"

#include "base/log.h"
#include "devices/fs/events.h"
#include <errno.h>
#include <sys/inotify.h>

static struct client client;

/* The request that waits, beside the client's own. */
static struct {
	struct fs_call call;
	uint8_t request[64], answer[4096];
	bool done;
} listener;

static char told[1 << 20]; /* by told_until_now, as text */

static void heard(struct fs_call *call)
{
	(void)call;
	listener.done = true;
}

static void send_events(uint32_t stop)
{
	struct fuse_in_header header = { .len = sizeof header + sizeof(struct fs_events_in),
					 .opcode = FS_EVENTS,
					 .unique = ++client.unique,
					 .nodeid = 1 };
	struct fs_events_in in = { .stop = stop };

	memset(&listener, 0, sizeof listener);
	memcpy(listener.request, &header, sizeof header);
	memcpy(listener.request + sizeof header, &in, sizeof in);
	listener.call.chain.segments[0] = (struct iovec){ listener.request, header.len };
	listener.call.chain.readable_count = 1;
	listener.call.chain.segments[1] = (struct iovec){ listener.answer, sizeof listener.answer };
	listener.call.chain.writable_count = 1;
	listener.call.done = heard;
	listener.done = fs_serve(client.fs, &listener.call);
}

static size_t answer_size(void)
{
	struct fuse_out_header out;

	memcpy(&out, listener.answer, sizeof out);
	cr_assert_eq(out.error, 0);
	cr_assert_eq(out.len, listener.call.chain.write_position);
	return out.len - sizeof out;
}

static void add_text(const struct fs_event *event)
{
	static const struct {
		uint32_t mask;
		const char *name;
	} words[] = { { IN_MODIFY, "modify" },       { IN_ATTRIB, "attrib" },
		      { IN_CLOSE_WRITE, "close" },   { IN_MOVED_FROM, "from" },
		      { IN_MOVED_TO, "to" },         { IN_CREATE, "create" },
		      { IN_DELETE, "delete" },       { IN_DELETE_SELF, "delete_self" },
		      { IN_MOVE_SELF, "move_self" }, { IN_Q_OVERFLOW, "lost" } };
	size_t at = strlen(told);

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (event->mask & words[i].mask)
			at += (size_t)snprintf(told + at, sizeof told - at, "%u:%s",
					       (uint32_t)event->node, words[i].name);
	if (event->name_size > 0)
		at +=
		    (size_t)snprintf(told + at, sizeof told - at, " %.*s%s", (int)event->name_size,
				     event->name, event->mask & IN_ISDIR ? "/" : "");
	if (event->cookie)
		at += (size_t)snprintf(told + at, sizeof told - at, "=%u", event->cookie);
	(void)snprintf(told + at, sizeof told - at, "\n");
}

/* True: the name "end" is gone from the share's root, so all before it was told. */
static bool read_answer(void)
{
	size_t size = answer_size();
	bool ended = false;

	for (size_t at = 0; at < size && !ended;) {
		const struct fs_event *event =
		    (const void *)(listener.answer + sizeof(struct fuse_out_header) + at);

		ended = event->node == 1 && event->mask == IN_DELETE && event->name_size == 3 &&
			memcmp(event->name, "end", 3) == 0;
		if (event->name_size != 3 || memcmp(event->name, "end", 3) != 0)
			add_text(event);
		at += sizeof *event + ((event->name_size + 7U) & ~7U);
		cr_assert(at <= size);
	}
	return ended;
}

/* The share's root has to be watched. */
static const char *told_until_now(void)
{
	bool ended = false;

	told[0] = '\0';
	cr_assert_eq(mknod(host_path(&client, "end"), S_IFREG | 0600, 0), 0);
	cr_assert_eq(unlink(host_path(&client, "end")), 0);
	while (!ended) {
		send_events(0);
		while (!listener.done)
			cr_assert_eq(io_turn(client.io, 10), 0);
		ended = read_answer();
	}
	return told;
}

static int watch(uint64_t node)
{
	return client_ask(&client, FS_WATCH, node, NULL, 0, NULL, NULL);
}

static void open_client(void)
{
	client_open_config(&client, (struct fs_config){ .notify = true });
	client_init(&client);
	cr_assert_eq(watch(1), 0);
}

static uint64_t host_folder(const char *name)
{
	uint64_t node = 0;

	cr_assert_eq(mkdir(host_path(&client, name), 0755), 0);
	cr_assert_eq(client_lookup(&client, 1, name, &node), 0);
	return node;
}

static void host_rename(const char *from, const char *to)
{
	char old[512];

	(void)snprintf(old, sizeof old, "%s", host_path(&client, from));
	cr_assert_eq(rename(old, host_path(&client, to)), 0);
}

Test(fs_events, of_every_kind)
{
	open_client();
	host_write(&client, "f", "text");
	cr_assert_eq(mkdir(host_path(&client, "d"), 0755), 0);
	cr_assert_eq(chmod(host_path(&client, "f"), 0600), 0);
	host_rename("f", "g");
	cr_assert_eq(unlink(host_path(&client, "g")), 0);
	cr_assert_eq(rmdir(host_path(&client, "d")), 0);
	cr_assert_str_eq(told_until_now(), "1:create f\n1:modify f\n1:close f\n1:create d/\n"
					   "1:attrib f\n1:from f=1\n1:to g=1\n1:delete g\n"
					   "1:delete d/\n");
	host_write(&client, "h", "");
	host_rename("h", "i");
	cr_assert_str_eq(told_until_now(), "1:create h\n1:close h\n1:from h=2\n1:to i=2\n");
	client_close(&client);
}

Test(fs_events, of_what_is_watched_only)
{
	uint64_t folder, file = 0;

	open_client();
	folder = host_folder("d");
	host_write(&client, "d/f", "");
	cr_assert_eq(client_lookup(&client, folder, "f", &file), 0);
	host_write(&client, "d/f", "1");
	cr_assert_str_eq(told_until_now(), "1:create d/\n");
	cr_assert_eq(watch(folder), 0);
	cr_assert_eq(watch(folder), 0);
	host_write(&client, "d/f", "2");
	cr_assert_eq(folder, 2);
	cr_assert_str_eq(told_until_now(), "2:modify f\n2:close f\n");
	cr_assert_eq(watch(file), 0);
	cr_assert_eq(unlink(host_path(&client, "d/f")), 0);
	cr_assert_eq(file, 3);
	(void)told_until_now(); /* in an order that is the host's kernel's */
	cr_assert(strstr(told, "3:attrib\n") && strstr(told, "3:delete_self\n") &&
		  strstr(told, "2:delete f\n"));
	client_forget(&client, file, 1);
	client_forget(&client, folder, 1);
	host_write(&client, "d/f", "3");
	cr_assert_str_eq(told_until_now(), "");
	cr_assert_eq(watch(folder), -ESTALE);
	client_close(&client);
}

Test(fs_events, the_guest_is_not_told_of_itself)
{
	static char block[100000];
	struct fuse_setattr_in set = { .valid =
					   FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_MTIME_NOW,
				       .mode = 0600,
				       .size = 3 };
	struct fuse_fallocate_in allocate = { .length = 4096 };
	struct fuse_rename_in rename_in = { .newdir = 1 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFIFO | 0600 };
	struct fuse_link_in link_in = { 0 };
	struct fuse_lk_in lock = { .owner = 7, .lk = { .end = 9, .type = F_WRLCK } };
	struct fuse_flush_in flush = { .lock_owner = 7 };
	uint64_t node = 0, handle = 0;

	open_client();
	cr_assert_eq(client_create(&client, 1, "a", O_RDWR, 0600, &node, &handle), 0);
	cr_assert_eq(watch(node), 0);
	cr_assert_eq(client_write(&client, node, handle, 0, "hello", 5), 0);
	cr_assert_eq(client_write(&client, node, handle, 5, block, 90000), 0);
	allocate.fh = handle;
	cr_assert_eq(
	    client_ask(&client, FUSE_FALLOCATE, node, &allocate, sizeof allocate, NULL, NULL), 0);
	lock.fh = flush.fh = handle;
	cr_assert_eq(client_ask(&client, FUSE_SETLK, node, &lock, sizeof lock, NULL, NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_FLUSH, node, &flush, sizeof flush, NULL, NULL), 0);
	cr_assert_eq(io_turn(client.io, 0), 0);
	cr_assert_eq(client_release(&client, node, handle), 0);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &set, sizeof set, NULL, NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "d", NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_SYMLINK, 1, NULL, 0, "s", "t"), 0);
	cr_assert_eq(client_ask(&client, FUSE_MKNOD, 1, &mknod_in, sizeof mknod_in, "p", NULL), 0);
	link_in.oldnodeid = node;
	cr_assert_eq(client_ask(&client, FUSE_LINK, 1, &link_in, sizeof link_in, "b", NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_RENAME, 1, &rename_in, sizeof rename_in, "b", "c"),
		     0);
	cr_assert_eq(client_ask(&client, FUSE_RENAME, 1, &rename_in, sizeof rename_in, "p", "s"),
		     0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDWR | O_TRUNC, &handle), 0);
	cr_assert_eq(client_release(&client, node, handle), 0);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "s", NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "a", NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, "c", NULL), 0);
	cr_assert_eq(client_ask(&client, FUSE_RMDIR, 1, NULL, 0, "d", NULL), 0);
	cr_assert_str_eq(told_until_now(), "");
	/* what it did is no longer taken for its own when the host does it */
	host_write(&client, "a", "x");
	cr_assert_str_eq(told_until_now(), "1:create a\n1:modify a\n1:close a\n");
	client_close(&client);
}

Test(fs_events, another_name_is_told_meanwhile)
{
	uint64_t node = 0, handle = 0;

	open_client();
	cr_assert_eq(client_create(&client, 1, "a", O_RDWR, 0600, &node, &handle), 0);
	host_write(&client, "b", "");
	cr_assert_eq(client_write(&client, node, handle, 0, "hello", 5), 0);
	cr_assert_eq(chmod(host_path(&client, "a"), 0644), 0); /* one that the guest did not do */
	cr_assert_eq(unlink(host_path(&client, "a")), 0);
	cr_assert_str_eq(told_until_now(), "1:create b\n1:close b\n1:delete a\n");
	client_close(&client);
}

Test(fs_events, what_the_guest_did_is_soon_no_excuse)
{
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	uint64_t node = 0, handle = 0;

	open_client();
	host_write(&client, "f", "text");
	(void)told_until_now();
	/* neither is an event: it was read only, and it is there already */
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), 0);
	cr_assert_eq(client_release(&client, node, handle), 0);
	cr_assert_eq(client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "f", NULL),
		     -EEXIST);
	cr_assert_eq(io_turn(client.io, 0), 0);
	host_write(&client, "f", "other");
	cr_assert_eq(unlink(host_path(&client, "f")), 0);
	cr_assert_eq(mkdir(host_path(&client, "f"), 0755), 0);
	cr_assert_str_eq(told_until_now(), "1:modify f\n1:close f\n1:delete f\n1:create f/\n");
	client_close(&client);
}

Test(fs_events, the_same_twice_is_told_once)
{
	int fd;

	open_client();
	host_write(&client, "f", "");
	fd = open(host_path(&client, "f"), O_WRONLY | O_CLOEXEC);
	(void)told_until_now();
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(write(fd, "x", 1), 1);
		cr_assert_eq(io_turn(client.io, 0), 0);
	}
	cr_assert_str_eq(told_until_now(), "1:modify f\n");
	close(fd);
	client_close(&client);
}

Test(fs_events, what_is_too_much_is_said_to_be_lost)
{
	uint64_t folder;
	char name[16];
	size_t lines = 0;

	open_client();
	folder = host_folder("d");
	cr_assert_eq(folder, 2);
	cr_assert_eq(watch(folder), 0);
	(void)told_until_now();
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof name, "f%d", i);
		cr_assert_eq(mknod(host_path(&client, name), S_IFREG | 0600, 0), 0);
		if (i % 100 == 99)
			cr_assert_eq(io_turn(client.io, 0), 0);
	}
	/* nothing that came behind the loss is told before it */
	told[0] = '\0';
	while (!strstr(told, "2:lost\n")) {
		send_events(0);
		cr_assert(listener.done);
		(void)read_answer();
	}
	cr_assert(strncmp(told, "1:create f0\n1:create f1\n", 24) == 0);
	cr_assert(strstr(told, "1:lost\n"));
	cr_assert_not(strstr(told, "create f2999"));
	for (const char *at = told; (at = strchr(at, '\n')); at++)
		lines++;
	cr_assert(lines > 500 && lines < 2000, "%zu", lines);
	host_write(&client, "d/f", "");
	cr_assert_str_eq(told_until_now(), "2:create f\n2:close f\n");
	client_close(&client);
}

Test(fs_events, watches_are_bounded)
{
	uint64_t node = 0;
	char name[16];
	int r = 0;

	log_level = LOG_LEVEL_ERROR;
	open_client();
	for (int i = 1; i < FS_MAX_WATCHES && r == 0; i++) {
		(void)snprintf(name, sizeof name, "f%d", i);
		cr_assert_eq(mknod(host_path(&client, name), S_IFREG | 0600, 0), 0);
		cr_assert_eq(client_lookup(&client, 1, name, &node), 0);
		r = watch(node);
		cr_assert_eq(io_turn(client.io, 0), 0);
	}
	cr_assert_eq(r, 0);
	host_write(&client, "more", "");
	cr_assert_eq(client_lookup(&client, 1, "more", &node), 0);
	cr_assert_eq(watch(node), -ENOSPC);
	cr_assert_eq(client_lookup(&client, 1, "f7", &node), 0);
	client_forget(&client, node, 2);
	cr_assert_eq(client_lookup(&client, 1, "more", &node), 0);
	cr_assert_eq(watch(node), 0);
	client_close(&client);
}

Test(fs_events, a_folder_moved_out_is_not_told_of)
{
	char outside[80];
	uint64_t folder, inner = 0;

	open_client();
	(void)snprintf(outside, sizeof outside, "%s-out", client.path);
	folder = host_folder("d");
	cr_assert_eq(mkdir(host_path(&client, "d/e"), 0755), 0);
	cr_assert_eq(client_lookup(&client, folder, "e", &inner), 0);
	cr_assert_eq(inner, 3);
	cr_assert_eq(watch(inner), 0);
	(void)told_until_now();
	cr_assert_eq(rename(host_path(&client, "d"), outside), 0);
	cr_assert_eq(symlink(outside, host_path(&client, "d")), 0);
	host_write(&client, "d/e/secret", ""); /* through the link: beyond the share */
	cr_assert_str_eq(told_until_now(), "1:from d/=1\n1:create d\n");
	host_write(&client, "d/e/secret", "again");
	cr_assert_str_eq(told_until_now(), "");
	cr_assert_eq(unlink(host_path(&client, "d")), 0);
	cr_assert_eq(rename(outside, host_path(&client, "d")), 0);
	cr_assert_eq(client_lookup(&client, 1, "d", &folder), 0);
	cr_assert_eq(client_lookup(&client, folder, "e", &inner), 0);
	(void)told_until_now();
	host_write(&client, "d/e/f", "");
	cr_assert_str_eq(told_until_now(), "3:create f\n3:close f\n");
	client_close(&client);
}

Test(fs_events, a_folder_renamed_within_is_told_of)
{
	uint64_t folder;

	open_client();
	folder = host_folder("d");
	cr_assert_eq(folder, 2);
	cr_assert_eq(watch(folder), 0);
	host_rename("d", "e");
	host_write(&client, "e/f", "");
	cr_assert_str_eq(told_until_now(), "1:create d/\n1:from d/=1\n1:to e/=1\n2:move_self\n"
					   "2:create f\n2:close f\n");
	client_close(&client);
}

Test(fs_events, one_request_waits)
{
	struct fs_events_in in = { 0 };

	open_client();
	send_events(0);
	cr_assert_not(listener.done);
	cr_assert_eq(client_ask(&client, FS_EVENTS, 1, &in, sizeof in, NULL, NULL), -EBUSY);
	cr_assert_not(listener.done);
	in.stop = 1;
	cr_assert_eq(client_ask(&client, FS_EVENTS, 1, &in, sizeof in, NULL, NULL), 0);
	cr_assert(listener.done);
	cr_assert_eq(answer_size(), 0);
	send_events(0);
	cr_assert_not(listener.done);
	cr_assert_eq(fs_pending(client.fs), 1);
	fs_interrupt_all(client.fs);
	cr_assert(listener.done);
	fs_reset(client.fs);
	client_init(&client);
	host_write(&client, "f", ""); /* nothing is watched any more */
	cr_assert_eq(watch(1), 0);
	cr_assert_str_eq(told_until_now(), "");
	client_close(&client);
}

Test(fs_events, not_after_it_was_unmounted)
{
	open_client();
	cr_assert_eq(client_ask(&client, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
	host_write(&client, "f", "");
	cr_assert_eq(watch(1), 0);
	cr_assert_str_eq(told_until_now(), "");
	client_close(&client);
}

Test(fs_events, not_without_the_option)
{
	struct fs_events_in in = { 0 };
	struct fuse_init_out *out = client_answer(&client);

	client_open(&client);
	cr_assert_not(out->flags2 & (uint32_t)(FS_TELLS >> 32));
	cr_assert_eq(watch(1), -ENOSYS);
	cr_assert_eq(client_ask(&client, FS_EVENTS, 1, &in, sizeof in, NULL, NULL), -ENOSYS);
	client_close(&client);
	client_open_config(&client, (struct fs_config){ .notify = true });
	client_init(&client);
	cr_assert(out->flags2 & (uint32_t)(FS_TELLS >> 32));
	client_close(&client);
}
