/*
 * watch_events PATH...: says what inotify(7) tells of each, inside a guest: the path's number, what
 * happened, to which name, and "=N" for the two halves of the Nth rename. First "ready". Ends when
 * a folder named "end" was removed from the first path.
 */
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static const uint32_t MASK = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO |
			     IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF;

static const struct {
	uint32_t mask;
	const char *name;
} words[] = { { IN_MODIFY, "modify" },       { IN_ATTRIB, "attrib" },
	      { IN_CLOSE_WRITE, "close" },   { IN_MOVED_FROM, "from" },
	      { IN_MOVED_TO, "to" },         { IN_CREATE, "create" },
	      { IN_DELETE, "delete" },       { IN_DELETE_SELF, "delete_self" },
	      { IN_MOVE_SELF, "move_self" }, { IN_Q_OVERFLOW, "lost" },
	      { IN_IGNORED, "ignored" } };

/* True: that was the end. */
static int say(const struct inotify_event *event)
{
	static uint32_t last, renames;
	const char *name = event->len > 0 ? event->name : "";
	int is_end = strcmp(name, "end") == 0;

	if (is_end)
		return event->wd == 1 && (event->mask & IN_DELETE);
	printf("%d", event->wd);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (event->mask & words[i].mask)
			printf(" %s", words[i].name);
	if (*name)
		printf(" %s%s", name, event->mask & IN_ISDIR ? "/" : "");
	if (event->cookie) {
		renames += event->cookie != last;
		last = event->cookie;
		printf(" =%u", renames);
	}
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	_Alignas(8) char buffer[16384];
	int fd = inotify_init();
	ssize_t n;

	for (int i = 1; i < argc; i++) {
		if (inotify_add_watch(fd, argv[i], MASK) < 0) {
			perror(argv[i]);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(buffer + at);

			if (say(event))
				return 0;
			at += (ssize_t)(sizeof *event + event->len);
		}
		fflush(stdout);
	}
	return 1;
}
