/*
 * The rules of OCI layers, applied to tar entries.
 *
 * Refused, naming the entry: `..` in a name, a name through something that the same layer says is
 * not a folder (a symbolic link above all), a hard link to what the layers read here do not have or
 * to a folder, limits. Contained: everything else. A leading slash means nothing, device nodes are
 * only metadata of the image, owners and modes are the container's. Extended attributes of
 * namespaces that mean something to overlayfs or to the host never come from a layer: see
 * keep_xattr.
 */
#include "runtime/layer/pack.h"

#include "base/log.h"
#include "base/sys.h"
#include "runtime/erofs/erofs.h"
#include "runtime/layer/tree.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_PATH = 4096 };

static const char whiteout_prefix[] = ".wh.";
static const char opaque_name[] = ".wh..wh..opq";

struct pack {
	struct tar *tar;
	struct tree *tree;
	struct erofs_writer *writer;
	const struct pack_options *options;
	unsigned layer;
	uint64_t entries;
};

static bool is_prefix(const char *prefix, const char *text, size_t size)
{
	size_t prefix_size = strlen(prefix);

	return size >= prefix_size && memcmp(text, prefix, prefix_size) == 0;
}

static bool is_opaque(const struct path *name)
{
	return name->size == sizeof opaque_name - 1 &&
	       memcmp(name->name, opaque_name, name->size) == 0;
}

static uint32_t load32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

/* An ACL as the kernel keeps it: version 2, then entries of 8 bytes. */
static bool is_acl(const struct tar_xattr *xattr)
{
	return xattr->value_size >= 4 && xattr->value_size % 8 == 4 && load32(xattr->value) == 2;
}

/* trusted.* and user.overlay.* would speak to overlayfs (redirect, opaque, metacopy), and labels
 * for the host's security modules mean nothing in the guest. They are left out, as they are when
 * docker unpacks a layer without the right to set them. */
static bool keep_xattr(const struct tar_xattr *xattr)
{
	const char *name = xattr->name;
	size_t size = xattr->name_size;

	if (is_prefix("user.", name, size))
		return !is_prefix("user.overlay.", name, size);
	if (is_prefix("system.posix_acl_", name, size))
		return is_acl(xattr);
	return is_prefix("security.capability", name, size) && size == 19;
}

static int take_xattrs(const struct tar_entry *entry, struct erofs_xattrs *out, struct error *err)
{
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];
		int r;

		if (!keep_xattr(xattr))
			continue;
		r = erofs_xattrs_add(out, xattr->name, xattr->name_size, xattr->value,
				     xattr->value_size);
		if (r == -E2BIG)
			return error_set(err, r, "its extended attributes exceed 64 KiB");
		if (r < 0 && r != -EOPNOTSUPP)
			return error_set(err, r, "extended attributes: %s", sys_text(r));
	}
	return 0;
}

static uint32_t entry_mode(const struct tar_entry *entry)
{
	static const uint32_t types[] = {
		[TAR_FILE] = S_IFREG,        [TAR_HARD_LINK] = S_IFREG,    [TAR_SYMLINK] = S_IFLNK,
		[TAR_CHAR_DEVICE] = S_IFCHR, [TAR_BLOCK_DEVICE] = S_IFBLK, [TAR_FOLDER] = S_IFDIR,
		[TAR_FIFO] = S_IFIFO,
	};

	/* a link's own permissions do not exist; stat(2) shows 0777 everywhere */
	return types[entry->type] | (entry->type == TAR_SYMLINK ? 0777 : entry->mode);
}

static int image_error(struct error *err, int r)
{
	if (r == -EFBIG)
		return error_set(err, -E2BIG, "the image exceeds its size limit");
	return error_set(err, r, "cannot write the image: %s", sys_text(r));
}

static int copy_content(struct pack *pack, struct error *err)
{
	const uint8_t *data;
	uint64_t offset;
	size_t size;
	int r;

	while ((r = tar_data(pack->tar, &offset, &data, &size, err)) == 1) {
		r = erofs_file_write(pack->writer, offset, data, size);
		if (r < 0)
			return image_error(err, r);
	}
	return r;
}

static int write_file(struct pack *pack, const struct tar_entry *entry,
		      const struct erofs_attr *attr, struct erofs_place *place, struct error *err)
{
	int r = erofs_file_begin(pack->writer, attr, entry->size), ended;

	if (r < 0)
		return image_error(err, r);
	r = copy_content(pack, err);
	ended = erofs_file_end(pack->writer, place); /* also after an error: it lets go of attr */
	if (r == 0 && ended < 0)
		r = image_error(err, ended);
	return r;
}

static int write_node(struct pack *pack, const struct tar_entry *entry,
		      const struct erofs_attr *attr, struct erofs_place *place, struct error *err)
{
	size_t size = entry->type == TAR_SYMLINK ? strlen(entry->link) : 0;
	int r;

	if (entry->type == TAR_SYMLINK && (size == 0 || size >= MAX_PATH))
		return error_set(err, -EINVAL, "a symbolic link's target has %zu bytes", size);
	r = erofs_node(pack->writer, attr, entry->link, size, place);
	return r < 0 ? image_error(err, r) : 0;
}

static int put_leaf(struct pack *pack, struct node *parent, const struct path *name,
		    struct leaf *leaf, struct error *err)
{
	int r = tree_put_leaf(pack->tree, pack->writer, parent, name, pack->layer, leaf);

	return r < 0 ? error_set(err, r, "%s", sys_text(r)) : 0;
}

static int add_leaf(struct pack *pack, const struct tar_entry *entry, struct node *parent,
		    const struct path *name, struct erofs_attr *attr, struct error *err)
{
	struct erofs_place place;
	struct leaf *leaf;
	int r;

	if (entry->type == TAR_FILE)
		r = write_file(pack, entry, attr, &place, err);
	else
		r = write_node(pack, entry, attr, &place, err);
	if (r < 0)
		return r;
	if (tree_leaf_create(&place, attr->mode, &leaf) < 0)
		return error_set(err, -ENOMEM, "%s", sys_text(-ENOMEM));
	r = put_leaf(pack, parent, name, leaf, err);
	if (r < 0)
		tree_leaf_destroy(leaf);
	return r;
}

static int add_inode(struct pack *pack, const struct tar_entry *entry, struct node *parent,
		     const struct path *name, struct error *err)
{
	struct erofs_xattrs xattrs = { 0 };
	struct erofs_attr attr = {
		.mode = entry_mode(entry),
		.uid = entry->uid,
		.gid = entry->gid,
		.nlink = 1,
		.rdev = erofs_rdev(entry->major, entry->minor),
		.mtime = entry->mtime,
		.mtime_ns = entry->mtime_ns,
	};
	int r = take_xattrs(entry, &xattrs, err);

	if (r == 0 && entry->type == TAR_FOLDER) {
		r = tree_put_folder(pack->tree, parent, name, pack->layer, &attr, &xattrs);
		if (r < 0)
			(void)error_set(err, r, "%s", sys_text(r));
	} else if (r == 0) {
		attr.xattrs = xattrs.size ? &xattrs : NULL;
		r = add_leaf(pack, entry, parent, name, &attr, err);
	}
	erofs_xattrs_finish(&xattrs);
	return r;
}

static int add_hard_link(struct pack *pack, const struct tar_entry *entry, struct node *parent,
			 const struct path *name, struct error *err)
{
	struct node *target = tree_find(pack->tree, entry->link);
	struct leaf *leaf = target ? tree_leaf(target) : NULL;
	char text[160];

	(void)log_escape(entry->link, strlen(entry->link), text, sizeof text);
	if (!target)
		return error_set(err, -EINVAL, "hard link to %s, which this layer does not have",
				 text);
	if (!leaf)
		return error_set(err, -EINVAL, "hard link to the folder %s", text);
	return put_leaf(pack, parent, name, leaf, err);
}

/* aufs kept its own state beside the files, and docker's first years left it behind in layers. */
static bool is_aufs_state(const char *path)
{
	static const char prefix[] = ".wh..wh.";
	struct path at = { .rest = path };

	while (path_next(&at) == 1)
		if (is_prefix(prefix, at.name, at.size) && (*at.rest || !is_opaque(&at)))
			return true;
	return false;
}

/* 1: it was one of the names that are not files. */
static int take_whiteout(struct pack *pack, struct node *parent, const struct path *name,
			 struct error *err)
{
	size_t prefix = sizeof whiteout_prefix - 1;
	struct path hidden = { .name = name->name + prefix, .size = name->size - prefix };
	int r;

	if (!is_prefix(whiteout_prefix, name->name, name->size))
		return 0;
	if (is_opaque(name))
		r = tree_opaque(pack->tree, pack->writer, parent, pack->layer);
	else if (hidden.size <= 2 && memcmp(hidden.name, "..", hidden.size) == 0)
		return error_set(err, -EINVAL, "whiteout of nothing"); /* "", "." or ".." */
	else
		r = tree_whiteout(pack->tree, pack->writer, parent, &hidden, pack->layer);
	return r < 0 ? error_set(err, r, "%s", sys_text(r)) : 1;
}

static int apply_entry(struct pack *pack, const struct tar_entry *entry, struct error *err)
{
	struct node *parent;
	struct path name;
	int r;

	if (strlen(entry->path) >= MAX_PATH)
		return error_set(err, -EINVAL, "a name of more than %d bytes", MAX_PATH - 1);
	if (is_aufs_state(entry->path))
		return 0;
	r = tree_parent(pack->tree, entry->path, pack->layer, &parent, &name);
	if (r == -EINVAL)
		return error_set(err, r, "its name has a component that is .. or too long");
	if (r == -ENOTDIR)
		return error_set(err, -EINVAL,
				 "its name leads through something that is no folder");
	if (r < 0)
		return error_set(err, r, "%s", sys_text(r));
	if (!name.size)
		return entry->type == TAR_FOLDER
			   ? add_inode(pack, entry, parent, &name, err)
			   : error_set(err, -EINVAL, "the root is not a folder");
	r = take_whiteout(pack, parent, &name, err);
	if (r)
		return r < 0 ? r : 0;
	if (entry->type == TAR_HARD_LINK)
		return add_hard_link(pack, entry, parent, &name, err);
	if (entry->type == TAR_CHAR_DEVICE && !entry->major && !entry->minor) {
		/* overlayfs's own form of a whiteout */
		r = tree_whiteout(pack->tree, pack->writer, parent, &name, pack->layer);
		return r < 0 ? error_set(err, r, "%s", sys_text(r)) : 0;
	}
	return add_inode(pack, entry, parent, &name, err);
}

/* "etc/passwd: …", with the name as anybody's terminal can bear it. */
static int name_error(const char *path, int r, struct error *err)
{
	struct error inner = *err;
	char name[100];

	(void)log_escape(path, strlen(path), name, sizeof name);
	return error_set(err, r, "%s: %s", name, inner.text);
}

/* What is behind the end of the archive belongs to the stream's digest all the same. */
static int drain(const struct tar_source *source, struct error *err)
{
	const uint8_t *data;
	size_t size;
	int r;

	do
		r = source->next(source->context, &data, &size, err);
	while (r == 1);
	return r;
}

static int read_layer(struct pack *pack, struct error *err)
{
	struct tar_entry entry;
	int r;

	while ((r = tar_next(pack->tar, &entry, err)) == 1) {
		if (++pack->entries > pack->options->max_entries)
			return error_set(err, -E2BIG, "more than %llu entries",
					 (unsigned long long)pack->options->max_entries);
		r = apply_entry(pack, &entry, err);
		if (r < 0)
			return name_error(entry.path, r, err);
	}
	return r;
}

/* Remembers the end of a tar, so that nobody asks for the next tar by asking once too often. */
struct one_tar {
	const struct tar_source *source;
	bool is_over;
};

static int next_piece(void *context, const uint8_t **data, size_t *size, struct error *err)
{
	struct one_tar *one = context;
	int r = one->is_over ? 0 : one->source->next(one->source->context, data, size, err);

	one->is_over = r == 0;
	return r;
}

static int pack_layer(struct pack *pack, const struct tar_source *source, struct error *err)
{
	struct one_tar one = { .source = source };
	struct tar_source bounded = { .next = next_piece, .context = &one };
	int r = tar_open(&bounded, &pack->tar);

	if (r < 0)
		return error_set(err, r, "%s", sys_text(r));
	r = read_layer(pack, err);
	if (r == 0)
		r = drain(&bounded, err);
	tar_close(pack->tar);
	return r;
}

int pack_layers(const struct tar_source *source, const struct pack_options *options, int image_fd,
		unsigned *layer, struct pack_result *result, struct error *err)
{
	struct pack pack = { .options = options };
	struct pack_result done;
	int r = tree_create(&pack.tree);

	if (r == 0)
		r = erofs_create(image_fd, options->uuid, &pack.writer);
	if (r < 0)
		(void)error_set(err, r, "%s", sys_text(r));
	for (pack.layer = 0; r == 0 && pack.layer < options->layer_count; pack.layer++) {
		*layer = pack.layer;
		r = pack_layer(&pack, source, err);
	}
	if (r == 0) {
		/* overlayfs merges the roots of all layers, so this one is told to the runtime */
		if (!options->bottom && tree_is_opaque(pack.tree))
			erofs_set_label(pack.writer, PACK_LABEL_OPAQUE);
		else if (!options->bottom && tree_has_implied(pack.tree))
			erofs_set_label(pack.writer, PACK_LABEL_IMPLIED);
		r = tree_emit(pack.tree, pack.writer, options->bottom, &done.inodes);
		if (r == 0)
			r = erofs_finish(pack.writer, done.inodes, &done.image_bytes);
		if (r < 0)
			r = image_error(err, r);
	}
	if (r == 0)
		*result = done;
	tree_destroy(pack.tree);
	erofs_destroy(pack.writer);
	return r;
}
