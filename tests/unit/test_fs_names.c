/* Names of a share: what may be one, and what is known of the tree while it changes. */
#include "fuse_client.h"
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

static struct client client;

Test(fs_names, names_are_one_component)
{
	char long_name[300];
	const char *const bad[] = { "..", ".", "", "a/b", "/etc/passwd", "../x" };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };

	client_open(&client);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_eq(client_lookup(&client, 1, bad[i], NULL), -EINVAL, "%s", bad[i]);
		cr_assert_eq(client_create(&client, 1, bad[i], O_RDWR, 0600, NULL, NULL), -EINVAL);
		cr_assert_eq(
		    client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, bad[i], NULL),
		    -EINVAL);
		cr_assert_eq(client_ask(&client, FUSE_UNLINK, 1, NULL, 0, bad[i], NULL), -EINVAL);
		cr_assert_eq(client_ask(&client, FUSE_SYMLINK, 1, NULL, 0, bad[i], "t"), -EINVAL);
	}
	memset(long_name, 'n', sizeof long_name);
	long_name[255] = '\0';
	cr_assert_eq(client_create(&client, 1, long_name, O_RDWR, 0600, NULL, NULL), 0);
	cr_assert_eq(client_lookup(&client, 1, long_name, NULL), 0);
	long_name[255] = 'n';
	long_name[256] = '\0';
	cr_assert_eq(client_lookup(&client, 1, long_name, NULL), -ENAMETOOLONG);
	/* no zero at the end: not a name */
	memcpy(client_body(&client), "abc", 3);
	(void)client_send(&client, FUSE_LOOKUP, 1, 43, 3, 4096);
	cr_assert_eq(client_error(&client), -EINVAL);
	/* a zero inside: the name ends there */
	memcpy(client_body(&client), "abc\0def", 8);
	(void)client_send(&client, FUSE_LOOKUP, 1, 48, 8, 4096);
	cr_assert_eq(client_error(&client), -ENOENT);
	client_close(&client);
}

Test(fs_names, links_are_never_followed)
{
	uint64_t node = 0, handle = 0;
	struct fuse_setattr_in mode = { .valid = FATTR_MODE, .mode = 0777 };

	client_open(&client);
	cr_assert_eq(symlink("/etc", host_path(&client, "out")), 0);
	cr_assert_eq(client_lookup(&client, 1, "out", &node), 0);
	cr_assert_eq(client_lookup(&client, node, "passwd", NULL), -ENOTDIR);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), -EACCES);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPENDIR, 0, &handle), -ENOTDIR);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &mode, sizeof mode, NULL, NULL),
		     -EOPNOTSUPP);
	cr_assert_eq(client_ask(&client, FUSE_READLINK, node, NULL, 0, NULL, NULL), 0);
	cr_assert_eq(memcmp(client_answer(&client), "/etc", 4), 0);
	/* a folder that the guest knows becomes a link */
	cr_assert_eq(mkdir(host_path(&client, "d"), 0755), 0);
	cr_assert_eq(client_lookup(&client, 1, "d", &node), 0);
	cr_assert_eq(rmdir(host_path(&client, "d")), 0);
	cr_assert_eq(symlink("/etc", host_path(&client, "d")), 0);
	cr_assert_eq(client_lookup(&client, node, "passwd", NULL), -ESTALE);
	/* and so does a file */
	host_write(&client, "f", "mine");
	cr_assert_eq(client_lookup(&client, 1, "f", &node), 0);
	cr_assert_eq(unlink(host_path(&client, "f")), 0);
	cr_assert_eq(symlink("/etc/passwd", host_path(&client, "f")), 0);
	cr_assert_eq(client_open_file(&client, node, FUSE_OPEN, O_RDONLY, &handle), -ESTALE);
	cr_assert_eq(client_getattr(&client, node, NULL), -ESTALE);
	cr_assert_eq(client_ask(&client, FUSE_SETATTR, node, &mode, sizeof mode, NULL, NULL),
		     -ESTALE);
	client_close(&client);
}

Test(fs_names, renames_and_what_the_host_renames)
{
	struct fuse_rename2_in in = { .newdir = 1 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	uint64_t folder = 0, node = 0, other = 0;

	client_open(&client);
	cr_assert_eq(client_ask(&client, FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "d", NULL), 0);
	cr_assert_eq(client_lookup(&client, 1, "d", &folder), 0);
	cr_assert_eq(client_create(&client, folder, "f", O_RDWR, 0600, &node, &other), 0);
	cr_assert_eq(client_release(&client, node, other), 0);
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, 1, &in, sizeof in, "d", "e"), 0);
	cr_assert_eq(client_getattr(&client, node, NULL), 0, "found under its folder's new name");
	/* outside: the folder stays open for a while and is still itself */
	cr_assert_eq(rename(host_path(&client, "e"), "/tmp/katavm-moved-away"), 0);
	cr_assert_eq(client_lookup(&client, 1, "e", &other), -ENOENT);
	cr_assert_eq(client_getattr(&client, folder, NULL), 0, "as a process in it has it");
	cr_assert_eq(client_open_file(&client, folder, FUSE_OPENDIR, 0, &other), 0);
	cr_assert_eq(client_release(&client, folder, other), 0);
	cr_assert_eq(rename("/tmp/katavm-moved-away", host_path(&client, "back")), 0);
	cr_assert_eq(client_lookup(&client, 1, "back", &other), 0);
	cr_assert_eq(other, folder);
	cr_assert_eq(client_getattr(&client, node, NULL), 0);
	host_write(&client, "x", "x");
	host_write(&client, "y", "y");
	in.flags = RENAME_NOREPLACE;
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, 1, &in, sizeof in, "x", "y"), -EEXIST);
	in.flags = RENAME_EXCHANGE;
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, 1, &in, sizeof in, "x", "y"), 0);
	cr_assert_str_eq(host_read(&client, "x"), "y");
	in.flags = RENAME_WHITEOUT;
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, 1, &in, sizeof in, "x", "z"), -EINVAL);
	in = (struct fuse_rename2_in){ .newdir = 999 };
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, 1, &in, sizeof in, "x", "z"), -ESTALE);
	client_close(&client);
}

/* What it gives away in the exchange is the last that keeps such a folder here. */
Test(fs_names, exchange_out_of_a_folder_that_is_forgotten)
{
	struct fuse_rename2_in in = { .newdir = 1, .flags = RENAME_EXCHANGE };
	uint64_t folder = 0, inner = 0, outer = 0;

	client_open(&client);
	cr_assert_eq(mkdir(host_path(&client, "d"), 0755), 0);
	host_write(&client, "d/inner", "inner");
	host_write(&client, "outer", "outer");
	cr_assert_eq(client_lookup(&client, 1, "d", &folder), 0);
	cr_assert_eq(client_lookup(&client, folder, "inner", &inner), 0);
	client_forget(&client, folder, 1);
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, folder, &in, sizeof in, "inner", "outer"),
		     0);
	cr_assert_str_eq(host_read(&client, "d/inner"), "outer");
	cr_assert_eq(client_getattr(&client, inner, NULL), 0, "it is where it went");
	cr_assert_eq(client_getattr(&client, folder, NULL), -ESTALE);
	cr_assert_eq(fs_node_count(client.fs), 2);
	/* what comes in by it keeps it */
	cr_assert_eq(client_lookup(&client, 1, "d", &folder), 0);
	cr_assert_eq(client_lookup(&client, folder, "inner", &outer), 0);
	client_forget(&client, folder, 1);
	cr_assert_eq(client_ask(&client, FUSE_RENAME2, folder, &in, sizeof in, "inner", "outer"),
		     0);
	cr_assert_eq(client_getattr(&client, inner, NULL), 0);
	cr_assert_eq(client_getattr(&client, outer, NULL), 0);
	cr_assert_eq(client_getattr(&client, folder, NULL), 0);
	client_close(&client);
}

/* A tree that the host turns over must not become a circle here. */
Test(fs_names, folders_that_change_places)
{
	uint64_t a = 0, b = 0, again = 0;

	client_open(&client);
	cr_assert_eq(mkdir(host_path(&client, "a"), 0755), 0);
	cr_assert_eq(mkdir(host_path(&client, "a/b"), 0755), 0);
	cr_assert_eq(client_lookup(&client, 1, "a", &a), 0);
	cr_assert_eq(client_lookup(&client, a, "b", &b), 0);
	cr_assert_eq(client_lookup(&client, b, "none", NULL), -ENOENT);
	{
		char from[512], to[512];

		(void)snprintf(from, sizeof from, "%s/a/b", client.path);
		(void)snprintf(to, sizeof to, "%s/b", client.path);
		cr_assert_eq(rename(from, to), 0);
		(void)snprintf(from, sizeof from, "%s/a", client.path);
		(void)snprintf(to, sizeof to, "%s/b/a", client.path);
		cr_assert_eq(rename(from, to), 0);
	}
	cr_assert_eq(client_lookup(&client, b, "a", &again), -ESTALE);
	cr_assert_eq(client_lookup(&client, 1, "b", &again), 0);
	cr_assert_eq(again, b);
	cr_assert_eq(client_lookup(&client, b, "a", &again), 0);
	cr_assert_eq(again, a);
	client_close(&client);
}

Test(fs_names, a_folder_that_is_mounted_in_itself)
{
	uint64_t folder = 0, again = 0;
	char name[512];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip_test("mounting is not permitted");
	client_open(&client);
	cr_assert_eq(mkdir(host_path(&client, "d"), 0755), 0);
	cr_assert_eq(mkdir(host_path(&client, "d/inner"), 0755), 0);
	cr_assert_eq(client_lookup(&client, 1, "d", &folder), 0);
	(void)snprintf(name, sizeof name, "%s/d", client.path);
	cr_assert_eq(mount(name, host_path(&client, "d/inner"), NULL, MS_BIND, NULL), 0);
	cr_assert_eq(client_lookup(&client, folder, "inner", &again), -ESTALE);
	cr_assert_eq(client_getattr(&client, folder, NULL), 0);
	client_forget(&client, folder, 1);
	cr_assert_eq(fs_node_count(client.fs), 1);
	cr_assert_eq(umount(host_path(&client, "d/inner")), 0);
	client_close(&client);
}
