#include "runtime/image/progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const modes[] = { "auto", "plain", "json", "none" };

int progress_parse(const char *text, enum progress_mode *out, struct error *err)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(text, modes[i]) != 0)
			continue;
		*out = (enum progress_mode)i;
		return 0;
	}
	return error_set(err, -EINVAL, "--progress is auto, plain, json or none, not \"%.40s\"",
			 text);
}

void progress_init(struct progress *progress, enum progress_mode mode, const char *title)
{
	*progress = (struct progress){ .mode = mode, .title = title };
	if (mode == PROGRESS_AUTO && !isatty(STDERR_FILENO))
		progress->mode = PROGRESS_PLAIN;
	(void)clock_gettime(CLOCK_MONOTONIC, &progress->started);
}

static double seconds_since(const struct timespec *then, const struct timespec *now)
{
	return (double)(now->tv_sec - then->tv_sec) + (double)(now->tv_nsec - then->tv_nsec) / 1e9;
}

static void clear_line(struct progress *progress)
{
	if (progress->drawn)
		(void)fputs("\r\033[K", stderr);
	progress->drawn = false;
}

/* Titles come from the command line, whose control characters were refused; ids are digests. */
void progress_event(struct progress *progress, const char *what, const char *id, const char *event)
{
	switch (progress->mode) {
	case PROGRESS_NONE:
		return;
	case PROGRESS_JSON:
		(void)fprintf(stderr, "{\"event\":\"%s\",\"kind\":\"%s\",\"id\":\"%s\"}\n", event,
			      what, id);
		return;
	case PROGRESS_AUTO:
	case PROGRESS_PLAIN:
		clear_line(progress);
		(void)fprintf(stderr, "%.12s: %s %s\n",
			      strncmp(id, "sha256:", 7) == 0 ? id + 7 : id, what, event);
		progress->last = (struct timespec){ 0 };
		return;
	}
}

static void draw(struct progress *progress, const struct timespec *now)
{
	double mib = 1024.0 * 1024.0, elapsed = seconds_since(&progress->started, now);
	double done = (double)progress->done_bytes / mib;

	(void)fprintf(stderr, "\r\033[K%.60s", progress->title);
	if (progress->total_bytes) /* nothing is downloaded of a local image */
		(void)fprintf(stderr, "  %.1f of %.1f MiB  %.1f MiB/s", done,
			      (double)progress->total_bytes / mib,
			      elapsed > 0.2 ? done / elapsed : 0.0);
	(void)fprintf(stderr, "  %u of %u layers, %.1f MiB unpacked", progress->layers_done,
		      progress->layers, (double)progress->unpacked_bytes / mib);
	(void)fflush(stderr);
	progress->drawn = true;
}

void progress_update(struct progress *progress)
{
	struct timespec now;

	if (progress->mode != PROGRESS_AUTO && progress->mode != PROGRESS_JSON)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (seconds_since(&progress->last, &now) < (progress->mode == PROGRESS_JSON ? 1.0 : 0.1))
		return;
	progress->last = now;
	if (progress->mode == PROGRESS_JSON) {
		(void)fprintf(stderr,
			      "{\"event\":\"progress\",\"bytes\":%llu,\"total\":%llu,"
			      "\"unpacked\":%llu,\"layers\":%u,\"layers_done\":%u}\n",
			      (unsigned long long)progress->done_bytes,
			      (unsigned long long)progress->total_bytes,
			      (unsigned long long)progress->unpacked_bytes, progress->layers,
			      progress->layers_done);
		return;
	}
	draw(progress, &now);
}

void progress_finish(struct progress *progress)
{
	clear_line(progress);
}
