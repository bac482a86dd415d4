#include "base/log.h"
#include "base/sys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 512 };

enum log_level log_level = LOG_LEVEL_WARNING;
static const char *program = "katavm";

void log_set_name(const char *name)
{
	program = name;
}

static void emit(enum log_level level, const char *text)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	char line[LINE_SIZE + 64];
	int n = snprintf(line, sizeof line, "%s: %s: %s\n", program, names[level], text);

	if (n >= (int)sizeof line) {
		n = sizeof line - 1;
		line[n - 1] = '\n';
	}
	if (n > 0) /* a log that cannot be written has nowhere to be reported */
		(void)SYS_RETRY(write, STDERR_FILENO, line, (size_t)n);
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LINE_SIZE];
	va_list args;

	if (level > log_level)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	emit(level, text);
}

size_t log_escape(const void *bytes, size_t size, char *out, size_t out_size)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *from = bytes;
	size_t length = 0;

	if (out_size == 0)
		return 0;
	for (size_t i = 0; i < size && length + 4 < out_size; i++) {
		if (from[i] >= 0x20 && from[i] < 0x7f && from[i] != '\\') {
			out[length++] = (char)from[i];
			continue;
		}
		out[length++] = '\\';
		out[length++] = 'x';
		out[length++] = hex[from[i] >> 4];
		out[length++] = hex[from[i] & 15];
	}
	out[length] = '\0';
	return length;
}

static bool may_say(struct log_limit *limit)
{
	uint64_t now = sys_monotonic_ns();

	if (now - limit->window_ns >= 1000000000U) {
		limit->window_ns = now;
		if (limit->said >= LOG_LIMIT_BURST)
			limit->said = LOG_LIMIT_BURST - 1;
	}
	if (limit->said >= LOG_LIMIT_BURST) {
		limit->dropped++;
		return false;
	}
	limit->said++;
	return true;
}

void log_guest(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	char text[LINE_SIZE / 2], escaped[LINE_SIZE];
	va_list args;

	if (level > log_level || !may_say(limit))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	(void)log_escape(text, strlen(text), escaped, sizeof escaped);
	if (limit->dropped > 0)
		log_write(level, "%s (%u more like it were left out)", escaped, limit->dropped);
	else
		emit(level, escaped);
	limit->dropped = 0;
}
