#include "erofs_reader.h"

#include "base/check.h"
#include "base/sys.h"

#include <string.h>
#include <sys/stat.h>

enum { ROOT_NID = (EROFS_SUPER_OFFSET + 128) / EROFS_SLOT };

void view_load(struct view *image, int fd)
{
	struct stat status;
	struct erofs_disk_super super;

	CHECK(fstat(fd, &status) == 0);
	image->size = (size_t)status.st_size;
	image->data = malloc(image->size);
	CHECK(image->data && sys_pread_all(fd, image->data, image->size, 0) == 0);
	CHECK(image->size % EROFS_BLOCK == 0 && image->size >= EROFS_BLOCK);
	memcpy(&super, image->data + EROFS_SUPER_OFFSET, sizeof super);
	CHECK(super.magic == EROFS_MAGIC && super.root_nid == ROOT_NID);
	CHECK((uint64_t)super.blocks * EROFS_BLOCK == image->size);
}

void view_finish(struct view *image)
{
	free(image->data);
	image->data = NULL;
}

static const uint8_t *bytes_at(const struct view *image, uint64_t position, size_t size)
{
	CHECK(position <= image->size && size <= image->size - position);
	return image->data + position;
}

static void load_inode(const struct view *image, uint64_t nid, struct view_inode *out)
{
	out->nid = nid;
	memcpy(&out->disk, bytes_at(image, nid * EROFS_SLOT, sizeof out->disk), sizeof out->disk);
	CHECK(out->disk.format & 1);
}

static size_t xattr_size(const struct view_inode *inode)
{
	return inode->disk.xattr_words ? 12 + 4 * ((size_t)inode->disk.xattr_words - 1) : 0;
}

/* The bytes of one block of content, or NULL in a hole. */
static const uint8_t *content_block(const struct view *image, const struct view_inode *inode,
				    uint64_t block, size_t size)
{
	uint64_t behind = inode->nid * EROFS_SLOT + sizeof inode->disk + xattr_size(inode);
	uint64_t chunk, at = inode->disk.where;
	unsigned layout = inode->disk.format >> 1, shift;
	uint32_t address;

	switch (layout) {
	case EROFS_LAYOUT_INLINE:
		if (block != inode->disk.size / EROFS_BLOCK)
			break;
		CHECK(behind / EROFS_BLOCK == (behind + size - 1) / EROFS_BLOCK);
		return bytes_at(image, behind, size);
	case EROFS_LAYOUT_CHUNKS:
		shift = inode->disk.where & 31;
		chunk = block >> shift;
		memcpy(&address, bytes_at(image, behind + 4 * chunk, 4), 4);
		if (address == EROFS_HOLE_BLOCK)
			return NULL;
		at = address - (chunk << shift);
		break;
	default:
		CHECK(layout == EROFS_LAYOUT_PLAIN);
	}
	return bytes_at(image, (at + block) * EROFS_BLOCK, size);
}

void view_read(const struct view *image, const struct view_inode *inode, uint64_t offset, void *to,
	       size_t size)
{
	uint8_t *out = to;

	CHECK(offset <= inode->disk.size && size <= inode->disk.size - offset);
	while (size) {
		size_t at = offset % EROFS_BLOCK, n = EROFS_BLOCK - at;
		const uint8_t *block;

		n = n < size ? n : size;
		block = content_block(image, inode, offset / EROFS_BLOCK, at + n);
		if (block)
			memcpy(out, block + at, n);
		else
			memset(out, 0, n);
		out += n;
		offset += n;
		size -= n;
	}
}

typedef bool visit_fn(const struct view *image, const char *name, size_t size,
		      const struct erofs_disk_entry *entry, void *context);

/* Until a visit answers false. */
static void each_entry(const struct view *image, const struct view_inode *folder, visit_fn *visit,
		       void *context)
{
	CHECK(S_ISDIR(folder->disk.mode));
	for (uint64_t at = 0; at < folder->disk.size; at += EROFS_BLOCK) {
		uint64_t left = folder->disk.size - at;
		size_t size = left < EROFS_BLOCK ? (size_t)left : EROFS_BLOCK;
		struct erofs_disk_entry entries[EROFS_BLOCK / sizeof(struct erofs_disk_entry) + 1];
		char block[EROFS_BLOCK + 1] = { 0 };
		size_t count;

		view_read(image, folder, at, block, size);
		memcpy(entries, block, sizeof entries - sizeof entries[0]);
		count = entries[0].name_offset / sizeof entries[0];
		CHECK(count && entries[0].name_offset % sizeof entries[0] == 0);
		for (size_t i = 0; i < count; i++) {
			size_t start = entries[i].name_offset;
			size_t end = i + 1 < count ? entries[i + 1].name_offset
						   : start + strlen(block + start);

			CHECK(start < end && end <= size && end - start <= EROFS_NAME_MAX);
			if (!visit(image, block + start, end - start, &entries[i], context))
				return;
		}
	}
}

struct search {
	const char *name;
	size_t size;
	uint64_t nid;
	bool found;
};

static bool match(const struct view *image, const char *name, size_t size,
		  const struct erofs_disk_entry *entry, void *context)
{
	struct search *search = context;

	(void)image;
	if (size != search->size || memcmp(name, search->name, size) != 0)
		return true;
	search->nid = entry->nid;
	search->found = true;
	return false;
}

bool view_find(const struct view *image, const char *path, struct view_inode *out)
{
	load_inode(image, ROOT_NID, out);
	while (*path) {
		struct search search = { .name = path, .size = strcspn(path, "/") };

		if (!S_ISDIR(out->disk.mode))
			return false;
		each_entry(image, out, match, &search);
		if (!search.found)
			return false;
		load_inode(image, search.nid, out);
		path += search.size + (path[search.size] == '/');
	}
	return true;
}

static bool count_entry(const struct view *image, const char *name, size_t size,
			const struct erofs_disk_entry *entry, void *context)
{
	(void)image;
	(void)name;
	(void)size;
	(void)entry;
	(*(size_t *)context)++;
	return true;
}

size_t view_entry_count(const struct view *image, const struct view_inode *folder)
{
	size_t count = 0;

	each_entry(image, folder, count_entry, &count);
	return count;
}

const void *view_xattr(const struct view *image, const struct view_inode *inode, uint8_t prefix,
		       const char *name, size_t *size)
{
	uint64_t at = inode->nid * EROFS_SLOT + sizeof inode->disk;
	uint64_t end = at + xattr_size(inode);

	for (at += 12; at < end;) {
		struct erofs_disk_xattr entry;
		const char *text;

		memcpy(&entry, bytes_at(image, at, sizeof entry), sizeof entry);
		text = (const char *)bytes_at(image, at + 4,
					      (size_t)entry.name_size + entry.value_size);
		if (entry.prefix == prefix && entry.name_size == strlen(name) &&
		    memcmp(text, name, entry.name_size) == 0) {
			*size = entry.value_size;
			return text + entry.name_size;
		}
		at += (4 + (uint64_t)entry.name_size + entry.value_size + 3) / 4 * 4;
	}
	return NULL;
}

struct last_name {
	char name[EROFS_NAME_MAX + 1];
	size_t size, folders;
};

static bool check_entry(const struct view *image, const char *name, size_t size,
			const struct erofs_disk_entry *entry, void *context)
{
	static const uint8_t types[16] = {
		[S_IFREG >> 12] = 1, [S_IFDIR >> 12] = 2, [S_IFCHR >> 12] = 3,
		[S_IFBLK >> 12] = 4, [S_IFIFO >> 12] = 5, [S_IFLNK >> 12] = 7,
	};
	struct last_name *last = context;
	size_t common = size < last->size ? size : last->size;
	int order = memcmp(last->name, name, common);
	struct view_inode inode;

	CHECK(order < 0 || (order == 0 && last->size < size));
	memcpy(last->name, name, size);
	last->size = size;
	load_inode(image, entry->nid, &inode);
	CHECK(types[(inode.disk.mode & S_IFMT) >> 12] == entry->type && inode.disk.nlink > 0);
	if (entry->type == 2)
		last->folders++;
	if (entry->type == 2 && !(size <= 2 && memcmp(name, "..", size) == 0)) {
		struct last_name inner = { 0 };

		each_entry(image, &inode, check_entry, &inner);
		CHECK(inner.folders == inode.disk.nlink);
	}
	return true;
}

void view_check(const struct view *image)
{
	struct last_name last = { 0 };
	struct view_inode root;

	CHECK(view_find(image, "", &root));
	each_entry(image, &root, check_entry, &last);
	CHECK(last.folders == root.disk.nlink);
}
