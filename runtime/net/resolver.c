#include "runtime/net/resolver.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <string.h>

enum { MAX_SERVERS = 3, MAX_WORDS = 32, FILE_MAX = 64 << 10 };

static const char blanks[] = " \t\r";

/* The next word of a line, or NULL; *at goes on behind it. */
static const char *next_word(const char **at, const char *end, size_t *size)
{
	const char *from = *at;

	while (from < end && strchr(blanks, *from))
		from++;
	*at = from;
	while (*at < end && !strchr(blanks, **at))
		(*at)++;
	*size = (size_t)(*at - from);
	return *size ? from : NULL;
}

/* Only what can be written into a file again without changing its meaning. */
static bool is_plain(const char *word, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (word[i] <= ' ' || word[i] > '~')
			return false;
	return size < 254;
}

static void add_server(const char *word, size_t size, struct arena *arena, struct resolver *out)
{
	char text[IP_TEXT_SIZE];
	struct ip ip;

	if (size >= sizeof text)
		return;
	memcpy(text, word, size);
	text[size] = '\0';
	if (!ip_parse(text, &ip)) /* also the ones with a scope, which mean nothing elsewhere */
		return;
	if (ip_is_loopback(&ip)) {
		if (!out->local.size)
			out->local = ip;
	} else if (out->servers.count < MAX_SERVERS) {
		texts_add(arena, &out->servers, arena_text(arena, text, size));
	}
}

static void add_words(const char *at, const char *end, struct arena *arena, struct texts *out)
{
	const char *word;
	size_t size;

	while ((word = next_word(&at, end, &size)))
		if (is_plain(word, size) && out->count < MAX_WORDS)
			texts_add(arena, out, arena_text(arena, word, size));
}

static bool is_keyword(const char *word, size_t size, const char *keyword)
{
	return size == strlen(keyword) && memcmp(word, keyword, size) == 0;
}

static void parse_line(const char *at, const char *end, struct arena *arena, struct resolver *out)
{
	size_t size, value_size;
	const char *word = next_word(&at, end, &size), *value;

	if (!word || *word == '#' || *word == ';')
		return;
	if (is_keyword(word, size, "nameserver")) {
		value = next_word(&at, end, &value_size);
		if (value)
			add_server(value, value_size, arena, out);
	} else if (is_keyword(word, size, "search") || is_keyword(word, size, "domain")) {
		out->search = (struct texts){ 0 }; /* the last one counts */
		add_words(at, end, arena, &out->search);
	} else if (is_keyword(word, size, "options")) {
		add_words(at, end, arena, &out->options);
	}
}

void resolver_parse(const char *text, size_t size, struct arena *arena, struct resolver *out)
{
	const char *end = text + size;

	while (text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));

		if (!line_end)
			line_end = end;
		if (!memchr(text, '\0', (size_t)(line_end - text)))
			parse_line(text, line_end, arena, out);
		text = line_end + 1;
	}
}

static bool read_file(const char *path, struct arena *arena, struct resolver *out)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	own_mem char *text = malloc(FILE_MAX);
	long size = fd >= 0 && text ? SYS_RETRY(read, fd, text, FILE_MAX) : -1;

	if (size < 0)
		return false;
	resolver_parse(text, (size_t)size, arena, out);
	return true;
}

void resolver_read_host(struct arena *arena, struct resolver *out)
{
	struct resolver behind = { 0 };

	*out = (struct resolver){ 0 };
	(void)read_file("/etc/resolv.conf", arena, out);
	/* systemd-resolved's stub is at 127.0.0.53, and this is what it asks itself */
	if (out->servers.count == 0 && out->local.size &&
	    read_file("/run/systemd/resolve/resolv.conf", arena, &behind))
		out->servers = behind.servers;
}
