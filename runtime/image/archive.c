/*
 * archive file -> [inflate] -> plain tar -> [read the tar] -> entries -> this process
 *
 * Each bracket is a child that is sealed before it reads the first byte. Packets are frames: an
 * entry is a FRAME_RESULT, its content FRAME_DATA, FRAME_END the end of the archive.
 */
#include "runtime/image/archive.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/layer/confine.h"
#include "runtime/layer/frame.h"
#include "runtime/layer/inflate.h"
#include "runtime/layer/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { INPUT = 256 << 10, MEMORY_MIB = 512, NAME_MAX_SIZE = 1024, MAX_ENTRIES = 100000 };

struct entry_head {
	uint64_t size;
	uint32_t is_file, is_symlink;
	char name[NAME_MAX_SIZE];
	char link[NAME_MAX_SIZE];
};

/* What a child reads from and answers to. */
struct channel {
	int in, out;
	struct frame from, to;
	uint8_t input[INPUT];
};

struct child {
	pid_t pid; /* 0: none */
	int socket;
};

static void report(struct channel *channel, int code, const struct error *err)
{
	struct frame_error last = { .code = code, .layer = -1 };

	memcpy(last.text, err->text, sizeof last.text);
	channel->to.kind = FRAME_ERROR;
	memcpy(channel->to.data, &last, sizeof last);
	(void)frame_send(channel->out, &channel->to, sizeof last);
}

static int next_input(void *context, const uint8_t **data, size_t *size)
{
	struct channel *channel = context;
	long n = SYS_RETRY(read, channel->in, channel->input, sizeof channel->input);

	if (n <= 0)
		return (int)n;
	*data = channel->input;
	*size = (size_t)n;
	return 1;
}

static int flush_output(void *context, size_t size)
{
	struct channel *channel = context;

	channel->to.kind = FRAME_DATA;
	return frame_send(channel->out, &channel->to, size);
}

static int inflate_archive(struct channel *channel, struct error *err)
{
	struct inflate_io io = { .next = next_input,
				 .buffer = channel->to.data,
				 .room = sizeof channel->to.data,
				 .flush = flush_output,
				 .context = channel };
	int r = inflate_stream(&io, LAYER_AUTO, err);

	if (r < 0)
		return r;
	channel->to.kind = FRAME_END;
	return frame_send(channel->out, &channel->to, 0);
}

static int next_frame(void *context, const uint8_t **data, size_t *size, struct error *err)
{
	struct channel *channel = context;
	int r = frame_receive(channel->in, &channel->from, size);
	struct frame_error last;

	if (r == 1 && channel->from.kind == FRAME_DATA && *size) {
		*data = channel->from.data;
		return 1;
	}
	if (r == 1 && channel->from.kind == FRAME_END)
		return 0;
	if (r == 1 && channel->from.kind == FRAME_ERROR && *size == sizeof last) {
		memcpy(&last, channel->from.data, sizeof last);
		return error_set(err, last.code < 0 ? last.code : -EIO, "%.*s",
				 (int)sizeof last.text - 1, last.text);
	}
	return error_set(err, -EIO, "the archive's decompression ended early");
}

static int send_entry(struct channel *channel, const struct tar_entry *entry)
{
	struct entry_head head = {
		.size = entry->size,
		.is_file = entry->type == TAR_FILE,
		.is_symlink = entry->type == TAR_SYMLINK,
	};
	const char *link = entry->link ? entry->link : "";

	if (strlen(entry->path) >= sizeof head.name || strlen(link) >= sizeof head.link)
		return 0; /* no image has such a member */
	memcpy(head.name, entry->path, strlen(entry->path));
	memcpy(head.link, link, strlen(link));
	channel->to.kind = FRAME_RESULT;
	memcpy(channel->to.data, &head, sizeof head);
	return frame_send(channel->out, &channel->to, sizeof head);
}

/* Holes do not occur in images; a piece that does not follow the one before ends it. */
static int send_content(struct channel *channel, struct tar *tar, struct error *err)
{
	uint64_t at = 0, offset;
	const uint8_t *data;
	size_t size;
	int r;

	while ((r = tar_data(tar, &offset, &data, &size, err)) == 1) {
		if (offset != at)
			return error_set(err, -EINVAL, "the archive has a sparse member");
		for (size_t sent = 0; r >= 0 && sent < size;) {
			size_t n = size - sent < FRAME_DATA_MAX ? size - sent : FRAME_DATA_MAX;

			channel->to.kind = FRAME_DATA;
			memcpy(channel->to.data, data + sent, n);
			r = frame_send(channel->out, &channel->to, n);
			sent += n;
		}
		if (r < 0)
			return error_set(err, r, "read the archive: %s", sys_text(r));
		at += size;
	}
	return r;
}

static int read_tar(struct channel *channel, struct error *err)
{
	struct tar_source source = { .next = next_frame, .context = channel };
	struct tar_entry entry;
	struct tar *tar;
	int r = tar_open(&source, &tar);

	if (r < 0)
		return error_set(err, r, "read the archive: out of memory");
	while ((r = tar_next(tar, &entry, err)) == 1) {
		r = send_entry(channel, &entry);
		if (r == 0 && entry.type == TAR_FILE)
			r = send_content(channel, tar, err);
		if (r < 0)
			break;
	}
	tar_close(tar);
	if (r < 0)
		return r;
	channel->to.kind = FRAME_END;
	return frame_send(channel->out, &channel->to, 0);
}

/* In the child: everything but its two ends is closed, then it is sealed. */
__attribute__((noreturn)) static void child_main(int in, int out,
						 int (*work)(struct channel *, struct error *))
{
	static struct channel channel;
	struct confine_limits limits = { .memory_bytes = (uint64_t)MEMORY_MIB << 20 };
	struct error err = { .text = "read the archive" };
	int r = (int)SYS(dup2, in, STDIN_FILENO);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (r >= 0)
		r = (int)SYS(dup2, out, STDOUT_FILENO);
	if (r >= 0)
		r = (int)SYS(close_range, STDERR_FILENO, ~0U, 0);
	channel.in = STDIN_FILENO;
	channel.out = STDOUT_FILENO;
	if (r >= 0)
		r = confine(&limits, &err);
	if (r >= 0)
		r = work(&channel, &err);
	if (r < 0)
		report(&channel, r, &err);
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int start(int in, int (*work)(struct channel *, struct error *), struct child *child)
{
	int pair[2];
	int r = (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	pid_t pid;

	if (r < 0)
		return r;
	/* dup2 in the child must not hit its own ends */
	for (int i = 0; i < 2; i++) {
		int high = (int)SYS(fcntl, pair[i], F_DUPFD_CLOEXEC, 10);

		if (high >= 0) {
			(void)close(pair[i]);
			pair[i] = high;
		}
	}
	pid = (pid_t)SYS(fork);
	if (pid == 0)
		child_main(in, pair[1], work);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		return (int)pid;
	}
	*child = (struct child){ .pid = pid, .socket = pair[0] };
	return 0;
}

static void end(struct child *child)
{
	int status;

	if (!child->pid)
		return;
	(void)close(child->socket);
	(void)kill(child->pid, SIGKILL);
	(void)SYS_RETRY(waitpid, child->pid, &status, 0);
	*child = (struct child){ 0 };
}

static int damaged(struct error *err)
{
	return error_set(err, -EPROTO, "the archive's reader sent nonsense");
}

static int take_entry(const struct frame *frame, size_t size, const struct archive_reader *reader,
		      int *wanted, struct error *err)
{
	struct entry_head head;

	if (size != sizeof head)
		return damaged(err);
	memcpy(&head, frame->data, sizeof head);
	head.name[sizeof head.name - 1] = head.link[sizeof head.link - 1] = '\0';
	*wanted = reader->entry(reader->context, &(struct archive_entry){
						     .name = head.name,
						     .link = head.link,
						     .is_file = head.is_file != 0,
						     .is_symlink = head.is_symlink != 0,
						     .size = head.size,
						 });
	return *wanted < 0 ? error_set(err, *wanted, "read the archive: %s", sys_text(*wanted)) : 0;
}

static int take_frame(const struct frame *frame, size_t size, const struct archive_reader *reader,
		      int *wanted, struct error *err)
{
	struct frame_error last;
	int r;

	switch (frame->kind) {
	case FRAME_RESULT:
		return take_entry(frame, size, reader, wanted, err);
	case FRAME_DATA:
		r = *wanted == 1 ? reader->content(reader->context, frame->data, size) : 0;
		return r < 0 ? error_set(err, r, "unpack the archive: %s", sys_text(r)) : 0;
	case FRAME_END:
		return 1;
	case FRAME_ERROR:
		if (size != sizeof last)
			return damaged(err);
		memcpy(&last, frame->data, sizeof last);
		return error_set(err, last.code < 0 ? last.code : -EIO, "read the archive: %.*s",
				 (int)sizeof last.text - 1, last.text);
	default:
		return damaged(err);
	}
}

static int take_all(int socket, const struct archive_reader *reader, struct error *err)
{
	own_mem struct frame *frame = malloc(sizeof *frame);
	unsigned entries = 0;
	int wanted = 0, r;
	size_t size;

	if (!frame)
		return error_set(err, -ENOMEM, "out of memory");
	for (;;) {
		r = frame_receive(socket, frame, &size);
		if (r == 0)
			return error_set(err, -ECANCELED, "the archive's reader died");
		if (r < 0)
			return error_set(err, r, "read the archive: %s", sys_text(r));
		if (frame->kind == FRAME_RESULT && ++entries > MAX_ENTRIES)
			return error_set(err, -E2BIG, "the archive has more than %d members",
					 MAX_ENTRIES);
		r = take_frame(frame, size, reader, &wanted, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

int archive_read(int fd, const struct archive_reader *reader, struct error *err)
{
	struct child inflate = { 0 }, tar = { 0 };
	own_fd high = (int)SYS(fcntl, fd, F_DUPFD_CLOEXEC, 10);
	int r = high;

	if (r >= 0)
		r = SYS(lseek, fd, 0, SEEK_SET) < 0 ? -ESPIPE : 0;
	if (r >= 0)
		r = start(high, inflate_archive, &inflate);
	if (r >= 0)
		r = start(inflate.socket, read_tar, &tar);
	if (r < 0)
		(void)error_set(err, r, "read the archive: %s", sys_text(r));
	else
		r = take_all(tar.socket, reader, err);
	end(&tar);
	end(&inflate);
	return r;
}
