/* mkinitramfs INIT OUT: a cpio archive ("newc") that holds INIT as /init and nothing else, the same
 * bytes for the same program wherever and by whomever it is built. Runs on the build machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 4, REGULAR_0755 = 0100755 };

static int pad(FILE *out)
{
	static const char zeros[ALIGNMENT];
	long at = ftell(out);
	size_t missing = (size_t)((ALIGNMENT - at % ALIGNMENT) % ALIGNMENT);

	return at < 0 || fwrite(zeros, 1, missing, out) != missing ? -1 : 0;
}

static int write_entry(FILE *out, const char *name, unsigned mode, const void *data, size_t size)
{
	/* magic, inode, mode, uid, gid, links, mtime, size, device and rdevice, name size, check */
	if (fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0, mode, 0,
		    0, 1, 0, size, 0, 0, 0, 0, strlen(name) + 1, 0) < 0 ||
	    fwrite(name, 1, strlen(name) + 1, out) != strlen(name) + 1 || pad(out) < 0)
		return -1;
	if (size > 0 && fwrite(data, 1, size, out) != size)
		return -1;
	return pad(out);
}

static char *read_whole(const char *path, size_t *size)
{
	FILE *in = fopen(path, "rb");
	char *data = NULL;
	long end = -1;

	if (!in)
		return NULL;
	if (fseek(in, 0, SEEK_END) == 0)
		end = ftell(in);
	if (end > 0 && fseek(in, 0, SEEK_SET) == 0)
		data = malloc((size_t)end);
	if (data && fread(data, 1, (size_t)end, in) != (size_t)end) {
		free(data);
		data = NULL;
	}
	(void)fclose(in);
	*size = (size_t)end;
	return data;
}

int main(int argc, char **argv)
{
	size_t size = 0;
	char *data = argc == 3 ? read_whole(argv[1], &size) : NULL;
	FILE *out = data ? fopen(argv[2], "wb") : NULL;
	int failed = 1;

	if (out) {
		failed = write_entry(out, "init", REGULAR_0755, data, size) < 0 ||
			 write_entry(out, "TRAILER!!!", 0, NULL, 0) < 0;
		failed |= fclose(out) != 0;
	}
	if (failed)
		(void)fprintf(stderr, "mkinitramfs: cannot read INIT or write OUT\n");
	free(data);
	return failed;
}
