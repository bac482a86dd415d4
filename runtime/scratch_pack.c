/*
 * scratch_pack DISK OUT: packs a sparse disk image into the form that scratch.c unpacks for each
 * container. A sparse file would do, had every way of installing, packaging and sharing files
 * the wish to keep its holes.
 */
#include "runtime/scratch.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, SCRATCH_BLOCK - 1) == 0;
}

/* The runs of blocks that are not all zero; 0 or -errno. */
static int find_runs(int fd, uint64_t blocks, struct scratch_header *header)
{
	uint8_t block[SCRATCH_BLOCK];
	struct scratch_run *run = NULL;

	for (uint64_t i = 0; i < blocks; i++) {
		int64_t data = SYS(lseek, fd, (off_t)(i * SCRATCH_BLOCK), SEEK_DATA);
		int result;

		if (data == -ENXIO)
			break;
		if (data > 0 && (uint64_t)data / SCRATCH_BLOCK > i) {
			i = (uint64_t)data / SCRATCH_BLOCK;
			run = NULL;
		}
		result = sys_pread_all(fd, block, sizeof block, i * SCRATCH_BLOCK);
		if (result < 0)
			return result;
		if (is_zero(block)) {
			run = NULL;
			continue;
		}
		if (!run) {
			if (header->run_count == SCRATCH_MAX_RUNS)
				return -E2BIG;
			run = &header->runs[header->run_count++];
			*run = (struct scratch_run){ .first_block = i };
		}
		run->block_count++;
	}
	return 0;
}

static int write_runs(int from, int to, const struct scratch_header *header)
{
	uint8_t block[SCRATCH_BLOCK];
	int result = sys_write_all(to, header, sizeof *header);

	for (uint32_t i = 0; i < header->run_count; i++)
		for (uint64_t k = 0; result == 0 && k < header->runs[i].block_count; k++) {
			uint64_t at = (header->runs[i].first_block + k) * SCRATCH_BLOCK;

			result = sys_pread_all(from, block, sizeof block, at);
			if (result == 0)
				result = sys_write_all(to, block, sizeof block);
		}
	return result;
}

int main(int argc, char **argv)
{
	struct scratch_header header = { .magic = SCRATCH_MAGIC };
	own_fd from = -1;
	own_fd to = -1;
	struct stat status;
	int result;

	if (argc != 3)
		return 2;
	from = sys_open(AT_FDCWD, argv[1], O_RDONLY, 0);
	to = sys_open(AT_FDCWD, argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	result = from < 0 ? from : to < 0 ? to : (int)SYS(fstat, from, &status);
	if (result == 0) {
		header.disk_size = (uint64_t)status.st_size;
		result = find_runs(from, header.disk_size / SCRATCH_BLOCK, &header);
	}
	if (result == 0)
		result = write_runs(from, to, &header);
	if (result < 0)
		(void)fprintf(stderr, "pack %s: %s\n", argv[1], sys_text(result));
	return result < 0;
}
