#pragma once
#include "runtime/layer/tree.h"

/* Private to tree*.c. */

struct leaf {
	struct erofs_place place;
	uint32_t mode;
	uint32_t names;
	bool is_counted; /* while emitting */
};

enum node_kind { NODE_FOLDER, NODE_LEAF, NODE_WHITEOUT };

struct folder {
	struct node *children;
	size_t child_count, folder_count;
	struct erofs_attr attr;
	struct erofs_xattrs xattrs;
	struct erofs_place place;
	uint16_t cleared; /* the layer since which nothing in it is older */
	bool is_opaque;
	bool is_implied; /* only a path led through it: what it is, layers below the tree know */
	bool is_cut_off; /* while emitting: it, or a folder it is in, is opaque */
};

struct node {
	struct node *parent;
	struct node *next, **link; /* among the parent's children */
	struct node *chain;        /* in the table's bucket */
	union {
		struct folder *folder;
		struct leaf *leaf;
	};
	uint32_t hash;
	uint16_t layer;   /* that said what it is */
	uint16_t touched; /* last layer that has something in it, as a folder */
	uint8_t kind;
	bool hides; /* what layers below the tree have under this name */
	uint8_t name_size;
	char name[];
};

struct tree {
	struct node *root;
	struct node **buckets;
	size_t bucket_count, node_count;
	uint64_t seed;
};

struct node *tree_child(const struct tree *tree, const struct node *parent,
			const struct path *name);
int tree_add(struct tree *tree, struct node *parent, const struct path *name, unsigned layer,
	     struct node **out); /* a whiteout, to become something else */
/* One name less. */
void tree_drop_leaf(struct erofs_writer *writer, struct leaf *leaf);
int tree_make_folder(struct tree *tree, struct node *node);
/* With everything in it. writer may be NULL: inodes that lose their last name stay in the image. */
void tree_remove(struct tree *tree, struct erofs_writer *writer, struct node *node);
/* Everything in it, but not itself. */
void tree_clear(struct tree *tree, struct erofs_writer *writer, struct node *folder);
/* Every node below top, parents first; NULL begins and ends. */
struct node *tree_walk(struct node *top, struct node *node);
/* The one that a walk visits after all that is in node. */
struct node *tree_walk_over(struct node *top, struct node *node);
