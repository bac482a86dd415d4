#include "base/own.h"
#include "base/sys.h"
#include "runtime/host_program.h"
#include "runtime/net/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/wait.h>

enum { SHORT_ID = 12, OUTPUT_MAX = 16 << 10 };

int rules_find_nft(char path[PATH_MAX], struct error *err)
{
	/* where it is on any distribution, whatever the caller's $PATH lacks of them */
	static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft",
					      "/usr/bin/nft" };

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (SYS(access, places[i], X_OK) == 0) {
			(void)snprintf(path, PATH_MAX, "%s", places[i]);
			return 0;
		}
	return error_set(err, -ENOENT,
			 "the container's network needs the program nft, which is not installed: "
			 "install the package nftables, or use --network none");
}

static int make_file(const char *name)
{
	return (int)SYS(memfd_create, name, MFD_CLOEXEC);
}

int rules_start(struct rules *rules, struct rules_run *out, struct error *err)
{
	own_fd in = make_file("rules");
	own_fd errors = make_file("errors");
	char path[PATH_MAX], *argv[] = { path, (char *)(uintptr_t) "-j", (char *)(uintptr_t) "-f",
					 (char *)(uintptr_t) "/proc/self/fd/0", NULL };
	int r = rules_find_nft(path, err);

	if (r < 0)
		return r;
	(void)fputs("\n]}\n", rules->out);
	r = fflush(rules->out) == 0 ? 0 : -ENOMEM;
	if (r == 0)
		r = in < 0       ? in
		    : errors < 0 ? errors
				 : sys_pwrite_all(in, rules->text, rules->size, 0);
	if (r == 0)
		r = host_program_start(argv, (int[]){ in, errors, errors }, 3, &out->pid);
	if (r < 0) {
		out->pid = 0;
		return error_set(err, r, "run %s: %s", path, sys_text(r));
	}
	out->error_fd = take_fd(&errors);
	return 0;
}

/* The first line of what it said, without the name of its input. */
static void first_line(int fd, char *text, size_t size)
{
	long got = SYS(pread, fd, text, size - 1, 0);
	char *end;

	text[got > 0 ? got : 0] = '\0';
	end = strchr(text, '\n');
	if (end)
		*end = '\0';
}

int rules_wait(struct rules_run *run, struct error *err)
{
	char text[160];
	int status = 0, r;

	if (run->pid == 0)
		return 0;
	r = (int)SYS_RETRY(waitpid, run->pid, &status, 0);
	run->pid = 0;
	if (r >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		close_fd(&run->error_fd);
		return 0;
	}
	first_line(run->error_fd, text, sizeof text);
	close_fd(&run->error_fd);
	return error_set(err, -EIO, "nft does not take the rules of the container's network: %s",
			 *text ? text : "it ended without a word");
}

static bool read_counter(const char *text, struct rules_denied *out)
{
	json_object *top = json_tokener_parse(text), *list, *counter, *value;
	bool found = false;

	if (json_object_object_get_ex(top, "nftables", &list) &&
	    json_object_is_type(list, json_type_array))
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			json_object *one = json_object_array_get_idx(list, i);

			if (!json_object_object_get_ex(one, "counter", &counter))
				continue;
			if (json_object_object_get_ex(counter, "packets", &value))
				out->packets = json_object_get_uint64(value);
			if (json_object_object_get_ex(counter, "bytes", &value))
				out->bytes = json_object_get_uint64(value);
			found = true;
		}
	(void)json_object_put(top);
	return found;
}

int rules_read_denied(const struct lease *lease, struct rules_denied *out, struct error *err)
{
	own_fd in = make_file("none");
	own_fd output = make_file("output");
	own_mem char *text = calloc(1, OUTPUT_MAX);
	char path[PATH_MAX], name[32];
	char *argv[] = { path,
			 (char *)(uintptr_t) "-j",
			 (char *)(uintptr_t) "list",
			 (char *)(uintptr_t) "counter",
			 (char *)(uintptr_t) "inet",
			 (char *)(uintptr_t) "katavm",
			 name,
			 NULL };
	int status = 0, r = rules_find_nft(path, err);
	pid_t pid;

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof name, "denied-%.*s", SHORT_ID, lease->id);
	r = in < 0 ? in : output < 0 ? output : text ? 0 : -ENOMEM;
	if (r == 0)
		r = host_program_start(argv, (int[]){ in, output, in }, 3, &pid);
	if (r == 0)
		r = (int)SYS_RETRY(waitpid, pid, &status, 0);
	if (r >= 0 && SYS(pread, output, text, OUTPUT_MAX - 1, 0) > 0 && read_counter(text, out))
		return 0;
	return error_set(err, -EIO, "nft does not know how much the container was denied");
}
