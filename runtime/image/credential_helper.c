/* A credential helper is a program of the user's that keeps passwords: docker-credential-NAME get,
 * the registry on its standard input, JSON on its standard output. */
#include "runtime/image/credentials.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/image/document.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { TIMEOUT_MS = 30000, ANSWER_MAX = 64 << 10, PROGRAM_SIZE = 128 };

static int start(char *program, int in, int out, pid_t *pid)
{
	char get[] = "get", *argv[] = { program, get, NULL };
	posix_spawn_file_actions_t files;
	int r = -posix_spawn_file_actions_init(&files);

	if (r < 0)
		return r;
	r = -posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawnp(pid, program, &files, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	return r;
}

/* Up to its end; *size bytes. -ETIMEDOUT, -E2BIG. */
static int read_answer(int fd, char *to, size_t *size)
{
	uint64_t end = sys_monotonic_ns() + TIMEOUT_MS * UINT64_C(1000000);

	for (*size = 0; *size < ANSWER_MAX;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		uint64_t now = sys_monotonic_ns();
		long n =
		    now < end ? SYS_RETRY(poll, &wait, 1, (int)((end - now) / 1000000) + 1) : 0;

		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			n = SYS_RETRY(read, fd, to + *size, ANSWER_MAX - *size);
		if (n <= 0)
			return (int)n;
		*size += (size_t)n;
	}
	return -E2BIG;
}

static int end(pid_t pid, int r)
{
	int status = 0;

	if (r < 0)
		(void)kill(pid, SIGKILL);
	(void)SYS_RETRY(waitpid, pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int credentials_parse_answer(const char *text, size_t size, const char *what,
			     struct credentials *out, struct error *err)
{
	struct document document = { .what = what, .err = err };
	struct credentials found = { 0 };
	own_json *root = NULL;
	const char *user = NULL, *secret = NULL;
	int r = document_parse(&document, text, size, json_type_object, &root);

	if (r == 0)
		r = document_need_text(&document, root, "Username", &user);
	if (r == 0)
		r = document_need_text(&document, root, "Secret", &secret);
	if (r < 0 || !user || !secret)
		return r;
	if (strcmp(user, "<token>") == 0) {
		found.identity_token = strdup(secret);
	} else {
		found.user = strdup(user);
		found.password = strdup(secret);
	}
	if (!found.identity_token && (!found.user || !found.password)) {
		credentials_finish(&found);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*out = found;
	return 0;
}

static int talk(char *program, const char *question, char *answer, size_t *size, int *status)
{
	int in[2], out[2];
	pid_t pid = 0;
	int r = (int)SYS(pipe2, in, O_CLOEXEC);

	if (r < 0)
		return r;
	own_fd in_read = in[0];
	own_fd in_write = in[1];

	r = (int)SYS(pipe2, out, O_CLOEXEC);
	if (r < 0)
		return r;
	own_fd out_read = out[0];
	own_fd out_write = out[1];

	/* a few bytes, which a pipe always holds; written first, so that nobody gets SIGPIPE */
	r = sys_write_all(in_write, question, strlen(question));
	if (r == 0)
		r = start(program, in_read, out_write, &pid);
	(void)close(take_fd(&in_write));
	(void)close(take_fd(&out_write));
	if (r < 0)
		return r;
	r = read_answer(out_read, answer, size);
	*status = end(pid, r);
	return r;
}

int credentials_ask(const char *helper, const char *registry, struct credentials *out,
		    struct error *err)
{
	own_mem char *answer = calloc(1, ANSWER_MAX + 1);
	char program[PROGRAM_SIZE];
	size_t size = 0;
	int status = 0, r;

	if (!answer)
		return error_set(err, -ENOMEM, "out of memory");
	(void)snprintf(program, sizeof program, "docker-credential-%.100s", helper);
	r = talk(program, credentials_key(registry), answer, &size, &status);
	if (r == -ETIMEDOUT)
		return error_set(err, r, "%s did not answer in %d seconds", program,
				 TIMEOUT_MS / 1000);
	if (r < 0)
		return error_set(err, r, "ask %s for a password: %s", program, sys_text(r));
	if (status != 0) {
		if (memmem(answer, size, "not found", 9)) /* what each helper says of that */
			return 0;
		return error_set(err, -EACCES, "%s failed: %.*s", program,
				 (int)strcspn(answer, "\n"), size ? answer : "it said nothing");
	}
	r = credentials_parse_answer(answer, size, program, out, err);
	explicit_bzero(answer, size);
	return r;
}
