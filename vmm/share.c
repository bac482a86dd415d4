/* The server of shared folders as a process: how it is started, and its main. */
#include "vmm/share.h"
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/fs/channel.h"
#include "devices/fs/fs.h"
#include "devices/fs/server.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

_Static_assert((int)VMM_MAX_SHARES <= (int)FS_MAX_SHARES, "the server's shares");
_Static_assert((int)VMM_SHARE_NAME_SIZE == (int)FS_FILE_NAME_SIZE, "a file's name");

static int send_share(int socket, const struct vmm_share *share, struct error *err)
{
	static const enum fs_cache caches[] = { [VMM_CACHE_AUTO] = FS_CACHE_AUTO,
						[VMM_CACHE_ALWAYS] = FS_CACHE_ALWAYS,
						[VMM_CACHE_NEVER] = FS_CACHE_NEVER };
	struct fs_message message = { .kind = FS_MESSAGE_SHARE };
	int r;

	message.body.share.read_only = share->read_only;
	message.body.share.cache = (uint8_t)caches[share->cache];
	message.body.share.notify = share->notify;
	memcpy(message.body.share.file_name, share->file_name, FS_FILE_NAME_SIZE);
	r = fs_message_send(socket, &message, &share->fd, 1);
	if (r < 0)
		return error_set(err, r, "share %.36s: hand it over: %s", share->tag, sys_text(r));
	return 0;
}

int share_server_start(const struct vmm_config *config, struct spawned *out, int *socket,
		       struct error *err)
{
	own_fd ours = -EBADF, theirs = -EBADF;
	int pair[2];
	int r = (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);

	if (r < 0)
		return error_set(err, r, "shared folders: socket: %s", sys_text(r));
	ours = pair[0];
	theirs = pair[1];
	r = spawn_role("katavm-fs", theirs, out, err);
	close_fd(&theirs); /* the child's copy is the last: its end is the VMM's end of file */
	for (size_t i = 0; r == 0 && i < config->share_count; i++)
		r = send_share(ours, &config->shares[i], err);
	if (r == 0)
		*socket = take_fd(&ours);
	return r;
}

int vmm_share_main(int argc, char **argv)
{
	char *end = NULL;
	long socket = argc == 2 ? strtol(argv[1], &end, 10) : -1;
	struct error err = { 0 };
	int r;

	log_set_name("katavm-fs");
	if (!end || *end || socket < 3 || socket > 1023) {
		log_error("started by katavm only, with the number of its socket");
		return EXIT_FAILURE;
	}
	(void)SYS(prctl, PR_SET_NAME, "katavm-fs"); /* executed as /proc/self/exe, it is "exe" */
	(void)mallopt(M_ARENA_MAX, 1);
	r = fs_server_run((int)socket, &err);
	if (r < 0)
		log_error("%s", err.text);
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
