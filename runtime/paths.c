#include "runtime/paths.h"

#include "base/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

__attribute__((format(printf, 3, 4))) static int put(char out[PATH_MAX], struct error *err,
						     const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(out, PATH_MAX, format, args);
	va_end(args);
	if (size >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "the path %.60s... is too long", out);
	return 0;
}

int paths_lib(const char *name, char out[PATH_MAX], struct error *err)
{
	const char *folder = environment("KATAVM_LIB_DIR");
	char self[PATH_MAX];
	long size;

	if (folder)
		return put(out, err, "%s/%s", folder, name);
	size = SYS(readlink, "/proc/self/exe", self, sizeof self - 1);
	if (size < 0)
		return error_set(err, (int)size, "find katavm's own program: %s",
				 sys_text((int)size));
	self[size] = '\0';
	for (int i = 0; i < 2; i++) { /* the program's folder, then the one around it */
		char *slash = strrchr(self, '/');

		if (slash)
			*slash = '\0';
	}
	return put(out, err, "%s/lib/katavm/%s", self, name);
}

int paths_root(const char *given, char out[PATH_MAX], struct error *err)
{
	const char *folder;

	if (given)
		return put(out, err, "%s", given);
	if (geteuid() == 0)
		return put(out, err, "/var/lib/katavm");
	folder = environment("XDG_DATA_HOME");
	if (folder)
		return put(out, err, "%s/katavm", folder);
	folder = environment("HOME");
	if (!folder)
		return error_set(err, -ENOENT, "HOME is not set: say where images are with --root");
	return put(out, err, "%s/.local/share/katavm", folder);
}

int paths_state(char out[PATH_MAX], struct error *err)
{
	const char *folder;

	if (geteuid() == 0)
		return put(out, err, "/run/katavm");
	folder = environment("XDG_RUNTIME_DIR");
	if (folder)
		return put(out, err, "%s/katavm", folder);
	return put(out, err, "/tmp/katavm-%u", geteuid());
}
