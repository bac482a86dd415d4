#include "runtime/layer/tree_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct emit {
	struct tree *tree;
	struct erofs_writer *writer;
	struct erofs_place whiteout; /* all whiteouts are names of one inode */
	uint64_t inodes;
};

static uint32_t node_mode(const struct node *node)
{
	switch ((enum node_kind)node->kind) {
	case NODE_FOLDER:
		return S_IFDIR;
	case NODE_LEAF:
		return node->leaf->mode;
	case NODE_WHITEOUT:
		break;
	}
	return S_IFCHR;
}

static uint64_t node_nid(const struct emit *emit, const struct node *node)
{
	if (node->kind == NODE_WHITEOUT)
		return emit->whiteout.nid;
	return node->kind == NODE_FOLDER ? node->folder->place.nid : node->leaf->place.nid;
}

static int compare(const void *a, const void *b)
{
	return erofs_entry_compare(a, b);
}

static struct erofs_entry *folder_entries(const struct emit *emit, const struct node *node,
					  size_t *count)
{
	const struct folder *folder = node->folder;
	const struct node *parent = node->parent ? node->parent : node;
	struct erofs_entry *entries = calloc(folder->child_count + 2, sizeof *entries);
	size_t n = 0;

	if (!entries)
		return NULL;
	entries[n++] = (struct erofs_entry){ ".", 1, S_IFDIR, folder->place.nid };
	entries[n++] = (struct erofs_entry){ "..", 2, S_IFDIR, parent->folder->place.nid };
	for (const struct node *child = folder->children; child; child = child->next)
		entries[n++] = (struct erofs_entry){ child->name, child->name_size,
						     node_mode(child), node_nid(emit, child) };
	qsort(entries, n, sizeof *entries, compare);
	*count = n;
	return entries;
}

static int reserve_folder(struct emit *emit, struct node *node)
{
	struct folder *folder = node->folder;
	struct erofs_entry *entries;
	size_t count;
	int r = 0;

	if (folder->is_opaque)
		r = erofs_xattrs_add(&folder->xattrs, "trusted.overlay.opaque", 22, "y", 1);
	if (r < 0)
		return r;
	folder->attr.nlink = (uint32_t)(2 + folder->folder_count);
	folder->attr.xattrs = folder->xattrs.size ? &folder->xattrs : NULL;
	entries = folder_entries(emit, node, &count);
	if (!entries)
		return -ENOMEM;
	r = erofs_dir_reserve(emit->writer, &folder->attr, entries, count, node == emit->tree->root,
			      &folder->place);
	free(entries);
	emit->inodes++;
	return r;
}

static int write_folder(struct emit *emit, struct node *node)
{
	struct folder *folder = node->folder;
	size_t count;
	struct erofs_entry *entries = folder_entries(emit, node, &count);
	int r;

	if (!entries)
		return -ENOMEM;
	r = erofs_dir_write(emit->writer, &folder->attr, entries, count, &folder->place);
	free(entries);
	return r;
}

/* Inodes were written when they had one name. */
static int count_leaf(struct emit *emit, struct leaf *leaf)
{
	if (leaf->is_counted)
		return 0;
	leaf->is_counted = true;
	emit->inodes++;
	return leaf->names == 1 ? 0 : erofs_set_nlink(emit->writer, leaf->place.nid, leaf->names);
}

static int write_whiteouts(struct emit *emit)
{
	struct erofs_attr attr = { .mode = S_IFCHR };
	struct node *top = emit->tree->root;

	for (struct node *node = tree_walk(top, NULL); node; node = tree_walk(top, node))
		if (node->kind == NODE_WHITEOUT)
			attr.nlink++;
	if (!attr.nlink)
		return 0;
	emit->inodes++;
	return erofs_node(emit->writer, &attr, NULL, 0, &emit->whiteout);
}

static void forget_whiteouts(struct tree *tree)
{
	struct node *node = tree->root, *next;

	tree->root->folder->is_opaque = false;
	for (node = tree_walk(node, NULL); node; node = next) {
		next = tree_walk(tree->root, node);
		if (node->kind == NODE_WHITEOUT)
			tree_remove(tree, NULL, node);
		else if (node->kind == NODE_FOLDER)
			node->folder->is_opaque = false;
	}
}

/* In an opaque folder nothing of lower layers is left to be hidden. Such a folder is not merged,
 * and overlayfs would list the whiteouts in it. */
static void forget_needless(struct tree *tree)
{
	struct node *node, *next;

	tree->root->folder->is_cut_off = tree->root->folder->is_opaque;
	for (node = tree_walk(tree->root, NULL); node; node = next) {
		bool is_cut_off = node->parent->folder->is_cut_off;

		next = tree_walk(tree->root, node);
		if (node->kind == NODE_FOLDER)
			node->folder->is_cut_off = is_cut_off || node->folder->is_opaque;
		else if (node->kind == NODE_WHITEOUT && is_cut_off)
			tree_remove(tree, NULL, node);
	}
}

int tree_emit(struct tree *tree, struct erofs_writer *writer, bool bottom, uint64_t *inodes)
{
	struct emit emit = { .tree = tree, .writer = writer };
	struct node *node;
	int r;

	if (bottom)
		forget_whiteouts(tree);
	else
		forget_needless(tree);
	r = write_whiteouts(&emit);
	if (r == 0)
		r = reserve_folder(&emit, tree->root);
	for (node = tree_walk(tree->root, NULL); r == 0 && node; node = tree_walk(tree->root, node))
		if (node->kind == NODE_FOLDER)
			r = reserve_folder(&emit, node);
	if (r == 0)
		r = write_folder(&emit, tree->root);
	for (node = tree_walk(tree->root, NULL); r == 0 && node;
	     node = tree_walk(tree->root, node)) {
		if (node->kind == NODE_FOLDER)
			r = write_folder(&emit, node);
		else if (node->kind == NODE_LEAF)
			r = count_leaf(&emit, node->leaf);
	}
	if (r == 0)
		*inodes = emit.inodes;
	return r;
}
