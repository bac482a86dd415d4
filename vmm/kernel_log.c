/*
 * The guest kernel's messages, taken from its printk ring (kernel/printk/printk_ringbuffer.h) after
 * the fact: no console has to run, so a good boot pays nothing. The kernel image carries no
 * symbols: the ring is recognised by its shape among the kernel's variables. What is found is what
 * the guest left in its memory, so each number is bounded before it is used and each line is
 * escaped.
 */
#include "base/log.h"
#include "base/own.h"
#include "base/sys.h"
#include "vmm/elf.h"
#include "vmm/kernel.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	MIN_COUNT_BITS = 5,
	MAX_COUNT_BITS = 18,
	MIN_SIZE_BITS = 10,
	MAX_SIZE_BITS = 25,
	MAX_TEXT = 1024,
	LINE_SIZE = 4 * MAX_TEXT + 40, /* each byte escaped, the time and the end */
	MAX_OUTPUT = 2 << 20, /* several times a usual ring; the file may be in the host's memory */
	STATE_COMMITTED = 1,
	STATE_FINALIZED = 2,
	STATE_SHIFT = 62,
};
#define ID_MASK ((1ULL << STATE_SHIFT) - 1)

struct ring_descriptors { /* struct prb_desc_ring, but for its last member */
	uint32_t count_bits, unused;
	uint64_t descriptors, infos, head_id, tail_id;
};

struct ring_text { /* struct prb_data_ring */
	uint32_t size_bits, unused;
	uint64_t data, head, tail;
};

struct ring_descriptor { /* struct prb_desc */
	uint64_t state, begin, next;
};

struct ring_info { /* struct printk_info */
	uint64_t sequence, time_ns;
	uint16_t text_size;
	uint8_t facility, level;
	uint32_t caller;
	char device[64];
};

struct ring { /* struct printk_ringbuffer of Linux 6.8 and later */
	struct ring_descriptors descriptors;
	uint64_t last_finalized;
	struct ring_text text;
};
_Static_assert(sizeof(struct ring) == 80, "struct printk_ringbuffer up to its data ring");

static int read_at(const struct memory *memory, uint64_t address, void *to, size_t size)
{
	gpa_t at;
	int r = arch_kernel_linear(address, &at);

	return r < 0 ? r : gmem_read(&memory->gmem, at, to, size);
}

static uint64_t index_of(const struct ring_descriptors *ring, uint64_t id)
{
	return id & ((1ULL << ring->count_bits) - 1);
}

/* Is this a ring? The numbers must be possible and the newest descriptor must carry the newest id.
 */
static bool is_ring(const struct memory *memory, const struct ring *ring)
{
	const struct ring_descriptors *d = &ring->descriptors;
	struct ring_descriptor newest;
	uint8_t byte;

	if (d->count_bits < MIN_COUNT_BITS || d->count_bits > MAX_COUNT_BITS || d->unused != 0 ||
	    ring->text.size_bits < MIN_SIZE_BITS || ring->text.size_bits > MAX_SIZE_BITS ||
	    ring->text.unused != 0)
		return false;
	if (((d->head_id - d->tail_id) & ID_MASK) >= 1ULL << d->count_bits)
		return false;
	if (read_at(memory, ring->text.data, &byte, sizeof byte) < 0 ||
	    read_at(memory, d->infos, &byte, sizeof byte) < 0 ||
	    read_at(memory, d->descriptors + index_of(d, d->head_id) * sizeof newest, &newest,
		    sizeof newest) < 0)
		return false;
	return (newest.state & ID_MASK) == d->head_id;
}

/* Looks through one range of the kernel's image for rings and keeps the one that holds the most. */
static void search(const struct memory *memory, const struct elf_segment *segment,
		   struct ring *best, uint64_t *most)
{
	struct ring ring;

	for (uint64_t at = 0; at + sizeof ring <= segment->memory_size; at += sizeof(uint64_t)) {
		uint64_t held;

		if (gmem_get(&memory->gmem, (gpa_t){ segment->address + at }, &ring) < 0)
			return;
		if (!is_ring(memory, &ring))
			continue;
		held = ((ring.descriptors.head_id - ring.descriptors.tail_id) & ID_MASK) + 1;
		if (held > *most) {
			*most = held;
			*best = ring;
		}
	}
}

/* The ring is a variable of the kernel, in a segment that is written. */
static int find_ring(const struct memory *memory, int kernel_fd, struct ring *out, uint64_t *count)
{
	own_mmap mapping = { NULL, 0 };
	struct elf_image image;
	struct stat status;
	int r = (int)SYS(fstat, kernel_fd, &status);

	if (r < 0)
		return r;
	r = sys_mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_NORESERVE, kernel_fd, 0, &mapping.at);
	if (r < 0)
		return r;
	mapping.size = (size_t)status.st_size;
	r = elf_parse(mapping.at, mapping.size, arch_elf_machine, &image, NULL);
	*count = 0;
	for (size_t i = 0; r == 0 && i < image.segment_count; i++)
		if (image.segments[i].writable)
			search(memory, &image.segments[i], out, count);
	return r == 0 && *count == 0 ? -ENODATA : r;
}

static size_t make_line(const struct ring_info *info, const char *text, size_t size,
			char line[LINE_SIZE])
{
	char escaped[4 * MAX_TEXT + 1];
	int n;

	(void)log_escape(text, size, escaped, sizeof escaped);
	n = snprintf(line, LINE_SIZE, "[%5llu.%06llu] %s\n",
		     (unsigned long long)(info->time_ns / 1000000000ULL),
		     (unsigned long long)(info->time_ns / 1000ULL % 1000000ULL), escaped);
	return n > 0 && n < LINE_SIZE ? (size_t)n : 0;
}

/* The line of one record and its length; 0: it makes no sense and is left out. */
static size_t read_record(const struct memory *memory, const struct ring *ring, uint64_t id,
			  char line[LINE_SIZE])
{
	const struct ring_descriptors *descriptors = &ring->descriptors;
	uint64_t index = index_of(descriptors, id), size, offset;
	struct ring_descriptor descriptor;
	struct ring_info info;
	char text[MAX_TEXT];

	if (read_at(memory, descriptors->descriptors + index * sizeof descriptor, &descriptor,
		    sizeof descriptor) < 0 ||
	    read_at(memory, descriptors->infos + index * sizeof info, &info, sizeof info) < 0)
		return 0;
	if ((descriptor.state & ID_MASK) != id ||
	    (descriptor.state >> STATE_SHIFT != STATE_COMMITTED &&
	     descriptor.state >> STATE_SHIFT != STATE_FINALIZED) ||
	    descriptor.begin % 2 != 0)
		return 0;
	size = 1ULL << ring->text.size_bits;
	offset = descriptor.begin & (size - 1);
	if (descriptor.begin >> ring->text.size_bits != descriptor.next >> ring->text.size_bits)
		offset = 0;         /* a block that would wrap starts over */
	offset += sizeof(uint64_t); /* its id */
	if (info.text_size > sizeof text)
		info.text_size = sizeof text;
	if (offset > size || info.text_size > size - offset ||
	    read_at(memory, ring->text.data + offset, text, info.text_size) < 0)
		return 0;
	return make_line(&info, text, info.text_size, line);
}

/* The oldest of the newest records that fit together: records of a ring that the guest made may all
 * point at the same text. */
static uint64_t first_that_fits(const struct memory *memory, const struct ring *ring,
				uint64_t count)
{
	char line[LINE_SIZE];
	size_t sum = 0;

	while (count > 0) { /* at most 1 << MAX_COUNT_BITS */
		sum += read_record(memory, ring, (ring->descriptors.tail_id + count - 1) & ID_MASK,
				   line);
		if (sum > MAX_OUTPUT)
			break;
		count--;
	}
	return count;
}

int kernel_dump_log(const struct memory *memory, int kernel_fd, int output_fd, struct error *err)
{
	char line[LINE_SIZE];
	size_t sum = 0;
	struct ring ring;
	uint64_t count;
	int r = find_ring(memory, kernel_fd, &ring, &count);

	if (r < 0)
		return error_set(err, r, "kernel log: there is none in the guest's memory");
	for (uint64_t i = first_that_fits(memory, &ring, count); r == 0 && i < count; i++) {
		size_t n =
		    read_record(memory, &ring, (ring.descriptors.tail_id + i) & ID_MASK, line);

		sum += n;
		if (sum > MAX_OUTPUT) /* the guest runs and has changed it meanwhile */
			break;
		r = sys_write_all(output_fd, line, n);
	}
	return r < 0 ? error_set(err, r, "kernel log: write: %s", sys_text(r)) : 0;
}
