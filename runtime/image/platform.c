#include "runtime/image/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const struct {
	const char *written, *architecture, *variant;
} aliases[] = {
	{ "x86_64", "amd64", "" }, { "x86-64", "amd64", "" }, { "aarch64", "arm64", "" },
	{ "armhf", "arm", "v7" },  { "armel", "arm", "v6" },  { "i386", "386", "" },
	{ "i686", "386", "" },
};

static void set_part(char part[PLATFORM_PART_SIZE], const char *text)
{
	(void)snprintf(part, PLATFORM_PART_SIZE, "%s", text ? text : "");
}

void platform_set(struct platform *platform, const char *os, const char *architecture,
		  const char *variant)
{
	set_part(platform->os, os);
	set_part(platform->architecture, architecture);
	set_part(platform->variant, variant);
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
		if (strcmp(platform->architecture, aliases[i].written) != 0)
			continue;
		set_part(platform->architecture, aliases[i].architecture);
		if (!platform->variant[0])
			set_part(platform->variant, aliases[i].variant);
		break;
	}
	/* every arm64 is at least v8, and every amd64 at least v1 */
	if ((strcmp(platform->architecture, "arm64") == 0 &&
	     (strcmp(platform->variant, "v8") == 0 || strcmp(platform->variant, "8") == 0)) ||
	    (strcmp(platform->architecture, "amd64") == 0 && strcmp(platform->variant, "v1") == 0))
		platform->variant[0] = '\0';
}

static int split(const char *text, char parts[3][PLATFORM_PART_SIZE], int *count)
{
	int n = 0;

	for (;;) {
		size_t size = strcspn(text, "/");

		if (n == 3 || size == 0 || size >= PLATFORM_PART_SIZE)
			return -EINVAL;
		if (strspn(text,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") <
		    size)
			return -EINVAL;
		memcpy(parts[n], text, size);
		parts[n++][size] = '\0';
		if (text[size] == '\0')
			break;
		text += size + 1;
	}
	*count = n;
	return 0;
}

int platform_parse(const char *text, struct platform *out, struct error *err)
{
	char parts[3][PLATFORM_PART_SIZE] = { "", "", "" };
	struct utsname host;
	int count = 0;

	if (!text || !*text) {
		if (uname(&host) < 0)
			return error_set(err, -ENOSYS, "ask for this machine's CPU");
		platform_set(out, "linux", host.machine, NULL);
		return 0;
	}
	if (split(text, parts, &count) < 0)
		return error_set(err, -EINVAL,
				 "platform \"%.80s\" is not of the form os/arch[/variant]", text);
	if (count == 1)
		platform_set(out, "linux", parts[0], NULL);
	else
		platform_set(out, parts[0], parts[1], parts[2]);
	return 0;
}

bool platform_matches(const struct platform *wanted, const struct platform *offered)
{
	if (strcmp(wanted->os, offered->os) != 0 ||
	    strcmp(wanted->architecture, offered->architecture) != 0)
		return false;
	/* An image without a variant runs on all of them; one with a variant must be asked for. */
	return !offered->variant[0] || strcmp(wanted->variant, offered->variant) == 0;
}

void platform_text(const struct platform *platform, char out[PLATFORM_TEXT_SIZE])
{
	(void)snprintf(out, PLATFORM_TEXT_SIZE, "%s/%s%s%s", platform->os, platform->architecture,
		       platform->variant[0] ? "/" : "", platform->variant);
}
