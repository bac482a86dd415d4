/*
 * How the entries of a layer change the tree.
 *
 * The order of entries inside a layer must not matter to whiteouts: `.wh.a` may come before or
 * after the layer's own `a`. So nodes know the layer that said what they are, and a whiteout takes
 * away only what older layers said. Whatever is replaced by a folder hides the folders of the same
 * name in the layers below the tree, so the new folder must be opaque.
 */
#include "base/check.h"
#include "runtime/layer/tree_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Turns something that is no folder, or nothing yet, into an empty folder. */
static int become_folder(struct tree *tree, struct node *node, unsigned layer, bool is_new)
{
	struct leaf *leaf = node->kind == NODE_LEAF ? node->leaf : NULL;
	bool hides = !is_new && (node->hides || node->kind == NODE_WHITEOUT || node->layer < layer);
	int r = tree_make_folder(tree, node);

	if (r < 0)
		return r;
	if (leaf)
		tree_drop_leaf(NULL, leaf);
	node->folder->is_opaque = hides;
	node->folder->cleared = (uint16_t)layer;
	node->layer = (uint16_t)layer;
	return 0;
}

/* The folder of that name in parent, made if need be. */
static int enter(struct tree *tree, struct node *parent, const struct path *name, unsigned layer,
		 struct node **out)
{
	struct node *node = tree_child(tree, parent, name);
	bool is_new = !node;
	int r = 0;

	if (node && node->kind == NODE_LEAF && node->layer == layer)
		return -ENOTDIR;
	if (!node)
		r = tree_add(tree, parent, name, layer, &node);
	if (r == 0 && node->kind != NODE_FOLDER)
		r = become_folder(tree, node, layer, is_new);
	if (r < 0)
		return r;
	if (is_new)
		node->folder->is_implied = true;
	node->touched = (uint16_t)layer;
	*out = node;
	return 0;
}

int tree_parent(struct tree *tree, const char *path, unsigned layer, struct node **parent,
		struct path *last)
{
	struct path at = { .rest = path }, ahead;
	struct node *folder = tree->root;
	int r = path_next(&at);

	while (r == 1) {
		ahead = at;
		r = path_next(&ahead);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		r = enter(tree, folder, &at, layer, &folder);
		if (r < 0)
			return r;
		at = ahead;
		r = 1;
	}
	if (r < 0)
		return r;
	*parent = folder;
	*last = at;
	return 0;
}

struct node *tree_find(struct tree *tree, const char *path)
{
	struct path at = { .rest = path };
	struct node *node = tree->root;
	int r;

	while ((r = path_next(&at)) == 1) {
		if (node->kind != NODE_FOLDER)
			return NULL;
		node = tree_child(tree, node, &at);
		if (!node)
			return NULL;
	}
	return r < 0 || node->kind == NODE_WHITEOUT ? NULL : node;
}

struct leaf *tree_leaf(struct node *node)
{
	return node->kind == NODE_LEAF ? node->leaf : NULL;
}

int tree_leaf_create(const struct erofs_place *place, uint32_t mode, struct leaf **out)
{
	struct leaf *leaf = malloc(sizeof *leaf);

	if (!leaf)
		return -ENOMEM;
	*leaf = (struct leaf){ .place = *place, .mode = mode };
	*out = leaf;
	return 0;
}

void tree_leaf_destroy(struct leaf *leaf)
{
	CHECK(!leaf || leaf->names == 0);
	free(leaf);
}

int tree_put_folder(struct tree *tree, struct node *parent, const struct path *name, unsigned layer,
		    const struct erofs_attr *attr, struct erofs_xattrs *xattrs)
{
	struct node *node = name->size ? tree_child(tree, parent, name) : tree->root;
	bool is_new = !node;
	struct folder *folder;
	int r = 0;

	if (is_new)
		r = tree_add(tree, parent, name, layer, &node);
	if (r == 0 && node->kind != NODE_FOLDER)
		r = become_folder(tree, node, layer, is_new);
	if (r < 0)
		return r;
	folder = node->folder;
	erofs_xattrs_finish(&folder->xattrs);
	folder->attr = *attr;
	folder->is_implied = false;
	folder->attr.xattrs = NULL;
	folder->xattrs = *xattrs;
	*xattrs = (struct erofs_xattrs){ 0 };
	node->layer = (uint16_t)layer;
	node->touched = (uint16_t)layer;
	return 0;
}

int tree_put_leaf(struct tree *tree, struct erofs_writer *writer, struct node *parent,
		  const struct path *name, unsigned layer, struct leaf *leaf)
{
	struct node *old = tree_child(tree, parent, name), *node;
	bool hides = false;
	int r;

	if (old && old->kind == NODE_LEAF && old->leaf == leaf)
		return 0; /* a hard link to itself */
	leaf->names++;    /* first: its other name may be in what is removed */
	if (old) {
		/* an opaque folder hid something, and so did a whiteout */
		hides = old->hides || old->kind == NODE_WHITEOUT || old->layer < layer ||
			(old->kind == NODE_FOLDER && old->folder->is_opaque);
		tree_remove(tree, writer, old);
	}
	r = tree_add(tree, parent, name, layer, &node);
	if (r < 0) {
		if (leaf->names == 1)
			leaf->names = 0; /* stays the caller's */
		else
			tree_drop_leaf(writer, leaf);
		return r;
	}
	node->kind = NODE_LEAF;
	node->hides = hides;
	node->leaf = leaf;
	return 0;
}

/* Takes away what layers before this one put in a folder. Folders that this layer only passed
 * through stay, as if it had made them. A layer may say the same thing a million times: what is in
 * a folder is looked at once, as later entries of the layer add nothing that is older. */
static void remove_older(struct tree *tree, struct erofs_writer *writer, struct node *top,
			 unsigned layer)
{
	struct node *node = top->folder->cleared == layer ? NULL : tree_walk(top, NULL);

	top->folder->cleared = (uint16_t)layer;
	while (node) {
		bool stays =
		    node->layer == layer || (node->kind == NODE_FOLDER && node->touched == layer);
		bool is_cleared =
		    stays && node->kind == NODE_FOLDER && node->folder->cleared == layer;
		struct node *next;

		if (stays && node->kind == NODE_FOLDER)
			node->folder->cleared = (uint16_t)layer;
		if (stays && node->layer < layer) {
			struct folder *folder = node->folder;

			erofs_xattrs_finish(&folder->xattrs);
			folder->attr = (struct erofs_attr){ .mode = S_IFDIR | 0755 };
			node->layer = (uint16_t)layer;
		}
		next = stays && !is_cleared ? tree_walk(top, node) : tree_walk_over(top, node);
		if (!stays)
			tree_remove(tree, writer, node);
		node = next;
	}
}

int tree_whiteout(struct tree *tree, struct erofs_writer *writer, struct node *parent,
		  const struct path *name, unsigned layer)
{
	struct node *node = tree_child(tree, parent, name);

	if (node && node->kind == NODE_FOLDER && (node->layer == layer || node->touched == layer)) {
		remove_older(tree, writer, node, layer);
		node->folder->is_opaque = true;
		node->folder->is_implied = false; /* the one below is gone */
		return 0;
	}
	if (node && node->layer == layer) {
		node->hides = true;
		return 0;
	}
	if (node)
		tree_remove(tree, writer, node);
	return tree_add(tree, parent, name, layer, &node);
}

bool tree_is_opaque(const struct tree *tree)
{
	return tree->root->folder->is_opaque;
}

bool tree_has_implied(const struct tree *tree)
{
	struct node *node = tree->root;

	while (node) {
		bool is_folder = node->kind == NODE_FOLDER;

		if (is_folder && node->folder->is_implied)
			return true;
		node = is_folder && node->folder->is_opaque ? tree_walk_over(tree->root, node)
							    : tree_walk(tree->root, node);
	}
	return false;
}

int tree_opaque(struct tree *tree, struct erofs_writer *writer, struct node *folder, unsigned layer)
{
	remove_older(tree, writer, folder, layer);
	folder->folder->is_opaque = true;
	return 0;
}
