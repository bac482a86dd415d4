#pragma once
#include "base/error.h"
#include "runtime/erofs/erofs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The files of one image while its layers are read, bottom first. Names and folders are kept here;
 * content and inodes of everything else are in the image already, so a leaf is only a number. Names
 * are looked up as they are written: symbolic links are never followed.
 *
 * What a layer hides of the layers below is remembered twice: inside the tree it is removed, and
 * for the layers below the whole tree a whiteout or an opaque folder stays.
 */
struct tree;
struct node;

/* A path is walked component by component. Empty ones and "." count for nothing, so "./a//b/" is
 * "a/b"; the empty path is the root. */
struct path {
	const char *rest;
	const char *name; /* of the component; not terminated */
	size_t size;
};
/* 1 and the component, 0 at the end, -EINVAL for ".." and for a name of more than 255 bytes. */
int path_next(struct path *path);

/* An inode that is no folder; names share it. In the caller's eyes only a handle. */
struct leaf;

int tree_create(struct tree **out);
void tree_destroy(struct tree *tree); /* accepts NULL */

/* The folder that `path` is in, made where missing (root's, 0755, of time 0), and its last
 * component in *last, whose size is 0 if path names the root. -ENOTDIR: the path leads through
 * something that is not a folder in the same layer; what lower layers have there is replaced by a
 * folder. */
int tree_parent(struct tree *tree, const char *path, unsigned layer, struct node **parent,
		struct path *last);
/* NULL if there is none, or a whiteout. */
struct node *tree_find(struct tree *tree, const char *path);
struct leaf *tree_leaf(struct node *node); /* NULL for a folder */

/* Each replaces what has that name. A folder on a folder keeps the children and takes the new
 * metadata, whose xattrs are taken over. name.size 0 is the root. nlink of attr is ignored. */
int tree_put_folder(struct tree *tree, struct node *parent, const struct path *name, unsigned layer,
		    const struct erofs_attr *attr, struct erofs_xattrs *xattrs);
int tree_put_leaf(struct tree *tree, struct erofs_writer *writer, struct node *parent,
		  const struct path *name, unsigned layer, struct leaf *leaf);
/* For tree_put_leaf, which takes it over on success: the first name of an inode. */
int tree_leaf_create(const struct erofs_place *place, uint32_t mode, struct leaf **out);
void tree_leaf_destroy(struct leaf *leaf);

/* What lower layers have under that name is gone; what this layer has is not. */
int tree_whiteout(struct tree *tree, struct erofs_writer *writer, struct node *parent,
		  const struct path *name, unsigned layer);
/* The same for everything in a folder. */
int tree_opaque(struct tree *tree, struct erofs_writer *writer, struct node *folder,
		unsigned layer);

/* Does the root hide everything that lower layers have? */
bool tree_is_opaque(const struct tree *tree);

/* Is there a folder that no entry made, and that lower layers may have? It is not this tree that
 * knows its owner and mode then. The root does not count. */
bool tree_has_implied(const struct tree *tree);

/* Writes folders and whiteouts, corrects link counts; bottom: nothing is left to be hidden. */
int tree_emit(struct tree *tree, struct erofs_writer *writer, bool bottom, uint64_t *inodes);
