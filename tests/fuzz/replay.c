/* Runs a fuzz target over every file of its corpus folder, so that what fuzzing once found stays
 * found in a plain build. A folder that is empty or missing is a failure: a replay of nothing
 * proves nothing. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_SIZE = 1 << 20 };

static int replay(const char *path)
{
	static uint8_t data[INPUT_SIZE];
	FILE *file = fopen(path, "rb");
	uint8_t *copy;
	size_t size;

	if (!file) {
		perror(path);
		return -1;
	}
	size = fread(data, 1, sizeof data, file);
	(void)fclose(file);
	copy = malloc(size ? size : 1); /* its own block, so that ASan sees its end */
	if (!copy)
		return -1;
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned ran = 0;
	struct dirent *entry;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

	if (!dir) {
		(void)fprintf(stderr, "usage: replay CORPUS_FOLDER\n");
		return 2;
	}
	while ((entry = readdir(dir))) {
		char path[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
		if (replay(path) < 0)
			return 1;
		ran++;
	}
	(void)closedir(dir);
	(void)printf("%u inputs replayed\n", ran);
	return ran ? 0 : 1;
}
