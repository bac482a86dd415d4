#include "runtime/image/bundle.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/archive.h"
#include "runtime/image/document.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The first pass keeps small members in memory: they are the documents that say which big ones are
 * wanted. */
enum { KEEP_MEMBER = 1 << 20, KEEP_ALL = 64 << 20, MAX_LINKS = 8, NAME_SIZE = 1024 };

struct bundle_member {
	char *name; /* without leading "./" */
	char *link; /* of a link: the member it leads to */
	uint64_t size;
	char *text;   /* of a small one */
	size_t have;  /* bytes of text, or of file */
	int file;     /* unnamed, of a prepared one; else -1 */
	bool is_next; /* prepared in the pass that runs */
};

static const char *plain_name(const char *name)
{
	while (strncmp(name, "./", 2) == 0)
		name += 2;
	return name;
}

/* A symbolic link's target, from the folder of the link: "../x" is the only turn in use. */
static char *link_target(const char *name, const struct archive_entry *entry)
{
	const char *target = entry->link, *slash = strrchr(name, '/');
	size_t folder = slash ? (size_t)(slash - name) : 0;
	char *out;

	if (!entry->is_symlink)
		return strdup(plain_name(target));
	while (strncmp(target, "../", 3) == 0 && folder) {
		target += 3;
		while (folder && name[--folder] != '/')
			;
	}
	if (asprintf(&out, "%.*s%s%s", (int)folder, name, folder ? "/" : "", target) < 0)
		return NULL;
	return out;
}

struct pass {
	struct bundle *bundle;
	struct bundle_member *current;
	size_t room, kept;
	bool is_first;
};

static struct bundle_member *find(const struct bundle *bundle, const char *name)
{
	/* the last one of a name counts, as when unpacked */
	for (size_t i = bundle->member_count; i-- > 0;)
		if (strcmp(bundle->members[i].name, name) == 0)
			return &bundle->members[i];
	return NULL;
}

static struct bundle_member *follow(const struct bundle *bundle, const char *name)
{
	struct bundle_member *member = find(bundle, name);

	for (int i = 0; member && member->link && i < MAX_LINKS; i++)
		member = find(bundle, member->link);
	return member && !member->link ? member : NULL;
}

static int add_member(struct pass *pass, const struct archive_entry *entry)
{
	struct bundle *bundle = pass->bundle;
	struct bundle_member *member;

	if (bundle->member_count == pass->room) {
		size_t room = pass->room ? 2 * pass->room : 64;
		struct bundle_member *grown =
		    reallocarray(bundle->members, room, sizeof *bundle->members);

		if (!grown)
			return -ENOMEM;
		bundle->members = grown;
		pass->room = room;
	}
	member = &bundle->members[bundle->member_count];
	*member = (struct bundle_member){ .size = entry->size, .file = -1 };
	member->name = strdup(plain_name(entry->name));
	if (member->name && entry->link[0])
		member->link = link_target(member->name, entry);
	bundle->member_count++;
	pass->current = member;
	return member->name && (member->link || !entry->link[0]) ? 0 : -ENOMEM;
}

static int first_entry(void *context, const struct archive_entry *entry)
{
	struct pass *pass = context;
	int r;

	if (!entry->is_file && !entry->link[0])
		return 0;
	r = add_member(pass, entry);
	if (r < 0 || !entry->is_file || entry->size > KEEP_MEMBER ||
	    pass->kept + entry->size > KEEP_ALL)
		return r;
	pass->current->text = malloc((size_t)entry->size + 1);
	if (!pass->current->text)
		return -ENOMEM;
	pass->kept += (size_t)entry->size;
	return 1;
}

static int first_content(void *context, const void *data, size_t size)
{
	struct bundle_member *member = ((struct pass *)context)->current;

	if (size > member->size - member->have)
		return -EPROTO;
	memcpy(member->text + member->have, data, size);
	member->have += size;
	return 0;
}

static int later_entry(void *context, const struct archive_entry *entry)
{
	struct pass *pass = context;

	pass->current = find(pass->bundle, plain_name(entry->name));
	if (!pass->current || !entry->is_file || !pass->current->is_next ||
	    pass->current->size != entry->size)
		return 0;
	pass->current->have = 0;
	return SYS(ftruncate, pass->current->file, 0) < 0 ? -EIO : 1;
}

static int later_content(void *context, const void *data, size_t size)
{
	struct bundle_member *member = ((struct pass *)context)->current;

	if (size > member->size - member->have)
		return -EPROTO;
	member->have += size;
	return sys_pwrite_all(member->file, data, size, member->have - size);
}

/* What cannot be read twice is kept in an unnamed file. */
static int spool(const struct store *store, int from, const char *what, int *out, struct error *err)
{
	own_fd fd = (int)SYS(openat, store->tmp_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	own_mem char *chunk = malloc(KEEP_MEMBER);
	long n = 0;
	int r = fd;

	if (r >= 0)
		r = chunk ? 0 : -ENOMEM;
	while (r >= 0 && (n = SYS_RETRY(read, from, chunk, KEEP_MEMBER)) > 0)
		r = sys_write_all(fd, chunk, (size_t)n);
	if (r >= 0 && n < 0)
		r = (int)n;
	if (r < 0)
		return error_set(err, r, "read the archive from %s: %s", what, sys_text(r));
	*out = take_fd(&fd);
	return 0;
}

static int open_archive(const struct store *store, const char *path, int *out, struct error *err)
{
	own_fd fd = -EBADF;

	if (strcmp(path, "-") == 0)
		return spool(store, STDIN_FILENO, "standard input", out, err);
	fd = (int)SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, fd, "open %s: %s", path, sys_text(fd));
	if (SYS(lseek, fd, 0, SEEK_CUR) == -ESPIPE)
		return spool(store, fd, path, out, err);
	*out = take_fd(&fd);
	return 0;
}

static int open_folder(const char *path, int *out, struct error *err)
{
	*out = (int)SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	return *out < 0 ? error_set(err, *out, "open %s: %s", path, sys_text(*out)) : 0;
}

int bundle_open(const struct store *store, const char *path, bool is_archive, struct bundle *out,
		struct error *err)
{
	struct bundle bundle = { .fd = -1, .is_archive = is_archive, .store = store };
	struct pass pass = { .bundle = &bundle, .is_first = true };
	int r = is_archive ? open_archive(store, path, &bundle.fd, err)
			   : open_folder(path, &bundle.fd, err);

	if (r == 0 && is_archive)
		r = archive_read(
		    bundle.fd, &(struct archive_reader){ first_entry, first_content, &pass }, err);
	if (r < 0) {
		bundle_close(&bundle);
		return r;
	}
	*out = bundle;
	return 0;
}

void bundle_close(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->member_count; i++) {
		free(bundle->members[i].name);
		free(bundle->members[i].link);
		free(bundle->members[i].text);
		if (bundle->members[i].file >= 0)
			(void)close(bundle->members[i].file);
	}
	free(bundle->members);
	if (bundle->store && bundle->fd >= 0)
		(void)close(bundle->fd);
	*bundle = (struct bundle){ .fd = -1 };
}

/* Only inside the folder, and only a regular file: a FIFO would be waited for. */
static int open_inside(const struct bundle *bundle, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)SYS(syscall, SYS_openat2, bundle->fd, name, &how, sizeof how);
	struct stat status;

	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
		(void)close(fd);
		return -EINVAL;
	}
	return fd;
}

bool bundle_has(const struct bundle *bundle, const char *name)
{
	int fd;

	if (bundle->is_archive)
		return follow(bundle, name) != NULL;
	fd = open_inside(bundle, name);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static int no_member(const char *name, int code, struct error *err)
{
	return code == -ENOENT
		   ? error_set(err, -ENOENT, "the image has no %s", name)
		   : error_set(err, code, "read %s of the image: %s", name, sys_text(code));
}

int bundle_text(struct bundle *bundle, const char *name, char **text, size_t *size,
		struct error *err)
{
	own_mem char *data = NULL;
	own_fd fd = -1;
	struct stat status;
	int r = bundle_file(bundle, name, &fd, err);

	if (r < 0)
		return r;
	r = (int)SYS(fstat, fd, &status);
	if (r == 0 && status.st_size > DOCUMENT_MAX_SIZE)
		return error_set(err, -EFBIG, "%s of the image is larger than 4 MiB", name);
	if (r == 0) {
		data = malloc((size_t)status.st_size + 1);
		r = data ? sys_read_all(fd, data, (size_t)status.st_size) : -ENOMEM;
	}
	if (r < 0 || !data)
		return no_member(name, r, err);
	data[status.st_size] = '\0';
	*size = (size_t)status.st_size;
	*text = take_ptr(data);
	return 0;
}

int bundle_prepare(struct bundle *bundle, const char *const *names, size_t count, struct error *err)
{
	struct pass pass = { .bundle = bundle };
	bool is_needed = false;
	int r = 0;

	if (!bundle->is_archive)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct bundle_member *member = follow(bundle, names[i]);

		if (!member)
			return no_member(names[i], -ENOENT, err);
		if (member->file >= 0)
			continue;
		member->file = (int)SYS(openat, bundle->store->tmp_fd, ".",
					O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (member->file < 0)
			return no_member(names[i], member->file, err);
		if (member->text) {
			r = sys_pwrite_all(member->file, member->text, member->have, 0);
			if (r < 0)
				return no_member(names[i], r, err);
			continue;
		}
		member->is_next = is_needed = true;
	}
	if (is_needed)
		r = archive_read(
		    bundle->fd, &(struct archive_reader){ later_entry, later_content, &pass }, err);
	for (size_t i = 0; i < bundle->member_count; i++)
		bundle->members[i].is_next = false;
	return r;
}

int bundle_file(struct bundle *bundle, const char *name, int *fd, struct error *err)
{
	struct bundle_member *member;
	char path[64];
	int r;

	if (!bundle->is_archive) {
		r = open_inside(bundle, name);
		if (r < 0)
			return no_member(name, r, err);
		*fd = r;
		return 0;
	}
	r = bundle_prepare(bundle, &name, 1, err);
	if (r < 0)
		return r;
	member = follow(bundle, name);
	if (!member)
		return no_member(name, -ENOENT, err);
	/* its own open file: a position of its own */
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", member->file);
	r = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	if (r < 0)
		return no_member(name, r, err);
	*fd = r;
	return 0;
}
