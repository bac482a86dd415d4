#include "runtime/layer/tree_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { NAME_SIZE_MAX = 255, FIRST_BUCKETS = 1024 };

int path_next(struct path *path)
{
	for (;;) {
		path->rest += strspn(path->rest, "/");
		path->name = path->rest;
		path->size = strcspn(path->rest, "/");
		path->rest += path->size;
		if (path->size == 0)
			return 0;
		if (path->size == 1 && path->name[0] == '.')
			continue;
		if (path->size == 2 && path->name[0] == '.' && path->name[1] == '.')
			return -EINVAL;
		return path->size > NAME_SIZE_MAX ? -EINVAL : 1;
	}
}

/* FNV-1a with a seed, so that nobody can choose names that share a bucket. */
static uint32_t hash_name(const struct tree *tree, const struct node *parent,
			  const struct path *name)
{
	uint64_t hash = tree->seed ^ (uintptr_t)parent;

	for (size_t i = 0; i < name->size; i++)
		hash = (hash ^ (uint8_t)name->name[i]) * UINT64_C(0x100000001b3);
	hash ^= hash >> 29;
	hash *= tree->seed | 1;
	return (uint32_t)(hash >> 32);
}

struct node *tree_child(const struct tree *tree, const struct node *parent, const struct path *name)
{
	uint32_t hash = hash_name(tree, parent, name);
	struct node *node = tree->buckets[hash % tree->bucket_count];

	while (node &&
	       (node->hash != hash || node->parent != parent || node->name_size != name->size ||
		memcmp(node->name, name->name, name->size) != 0))
		node = node->chain;
	return node;
}

static int grow(struct tree *tree)
{
	size_t count = tree->bucket_count * 2;
	struct node **buckets = calloc(count, sizeof(struct node *));

	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < tree->bucket_count; i++) {
		struct node *node = tree->buckets[i], *chain;

		for (; node; node = chain) {
			chain = node->chain;
			node->chain = buckets[node->hash % count];
			buckets[node->hash % count] = node;
		}
	}
	free(tree->buckets);
	tree->buckets = buckets;
	tree->bucket_count = count;
	return 0;
}

int tree_add(struct tree *tree, struct node *parent, const struct path *name, unsigned layer,
	     struct node **out)
{
	struct folder *folder = parent->folder;
	struct node *node;

	if (tree->node_count >= tree->bucket_count && grow(tree) < 0)
		return -ENOMEM;
	node = calloc(1, sizeof *node + name->size);
	if (!node)
		return -ENOMEM;
	node->kind = NODE_WHITEOUT;
	node->parent = parent;
	node->layer = (uint16_t)layer;
	node->name_size = (uint8_t)name->size;
	memcpy(node->name, name->name, name->size);
	node->hash = hash_name(tree, parent, name);
	node->chain = tree->buckets[node->hash % tree->bucket_count];
	tree->buckets[node->hash % tree->bucket_count] = node;
	node->next = folder->children;
	node->link = &folder->children;
	if (node->next)
		node->next->link = &node->next;
	folder->children = node;
	folder->child_count++;
	tree->node_count++;
	*out = node;
	return 0;
}

int tree_make_folder(struct tree *tree, struct node *node)
{
	struct folder *folder = calloc(1, sizeof *folder);

	if (!folder)
		return -ENOMEM;
	folder->attr.mode = S_IFDIR | 0755;
	if (node != tree->root)
		node->parent->folder->folder_count++;
	node->folder = folder;
	node->kind = NODE_FOLDER;
	return 0;
}

void tree_drop_leaf(struct erofs_writer *writer, struct leaf *leaf)
{
	if (--leaf->names)
		return;
	if (writer)
		erofs_discard(writer, &leaf->place);
	free(leaf);
}

/* A node that has no children. */
static void remove_one(struct tree *tree, struct erofs_writer *writer, struct node *node)
{
	struct node **slot = &tree->buckets[node->hash % tree->bucket_count];
	struct folder *parent = node->parent->folder;

	while (*slot != node)
		slot = &(*slot)->chain;
	*slot = node->chain;
	*node->link = node->next;
	if (node->next)
		node->next->link = node->link;
	parent->child_count--;
	tree->node_count--;
	if (node->kind == NODE_LEAF) {
		tree_drop_leaf(writer, node->leaf);
	} else if (node->kind == NODE_FOLDER) {
		parent->folder_count--;
		erofs_xattrs_finish(&node->folder->xattrs);
		free(node->folder);
	}
	free(node);
}

void tree_clear(struct tree *tree, struct erofs_writer *writer, struct node *folder)
{
	struct node *at = folder;

	while (folder->folder->children) {
		struct node *parent;

		while (at->kind == NODE_FOLDER && at->folder->children)
			at = at->folder->children;
		parent = at->parent;
		remove_one(tree, writer, at);
		at = parent;
	}
}

void tree_remove(struct tree *tree, struct erofs_writer *writer, struct node *node)
{
	if (node->kind == NODE_FOLDER)
		tree_clear(tree, writer, node);
	remove_one(tree, writer, node);
}

struct node *tree_walk_over(struct node *top, struct node *node)
{
	while (node != top && !node->next)
		node = node->parent;
	return node == top ? NULL : node->next;
}

struct node *tree_walk(struct node *top, struct node *node)
{
	if (!node)
		node = top;
	if (node->kind == NODE_FOLDER && node->folder->children)
		return node->folder->children;
	return tree_walk_over(top, node);
}

int tree_create(struct tree **out)
{
	struct tree *tree = calloc(1, sizeof *tree);

	if (!tree)
		return -ENOMEM;
	tree->buckets = calloc(FIRST_BUCKETS, sizeof(struct node *));
	tree->bucket_count = FIRST_BUCKETS;
	tree->root = calloc(1, sizeof *tree->root);
	if (!tree->buckets || !tree->root || tree_make_folder(tree, tree->root) < 0) {
		free(tree->buckets);
		free(tree->root);
		free(tree);
		return -ENOMEM;
	}
	tree->seed = (uintptr_t)tree;
	(void)!getrandom(&tree->seed, sizeof tree->seed, GRND_NONBLOCK);
	*out = tree;
	return 0;
}

void tree_destroy(struct tree *tree)
{
	if (!tree)
		return;
	tree_clear(tree, NULL, tree->root);
	erofs_xattrs_finish(&tree->root->folder->xattrs);
	free(tree->root->folder);
	free(tree->root);
	free(tree->buckets);
	free(tree);
}
