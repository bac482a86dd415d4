#pragma once
#include <stddef.h>
#include <stdint.h>

/* Lines for people, on stderr, each one write(2). Libraries return errors instead of logging; main,
 * the shim and the device thread log. */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The only global of the program: lines above this level are dropped. Set once, by main. */
extern enum log_level log_level;
/* Starts each line, "katavm" unless set; borrowed. */
void log_set_name(const char *name);

__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *format, ...);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* For lines a guest can cause: at most LOG_LIMIT_BURST of them, then one per second; bytes that are
 * not printable ASCII come out as \xHH. Zero-initialised; one per cause and thread. */
enum { LOG_LIMIT_BURST = 5 };
struct log_limit {
	uint64_t window_ns;
	unsigned said, dropped;
};
__attribute__((format(printf, 3, 4))) void log_guest(struct log_limit *limit, enum log_level level,
						     const char *format, ...);

/* Escapes `size` bytes into `out` (always terminated); returns the text's length. */

size_t log_escape(const void *bytes, size_t size, char *out, size_t out_size);
