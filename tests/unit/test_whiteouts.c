/* What a layer hides of the layers below it. */
#include "layer_image.h"

#include "runtime/layer/tree.h"

Test(whiteouts, whiteouts_hide_lower_layers_only)
{
	struct tarball tars[2] = { 0 };
	struct view image;

	tarball_add(&tars[0], FILE_OF("gone", "1"));
	tarball_add(&tars[0], FILE_OF("d/old", "1"));
	tarball_add(&tars[0], FILE_OF("o/old", "1"));
	tarball_add(&tars[0], FILE_OF("o/deep/old", "1"));
	tarball_add(&tars[0], FILE_OF("kept", "1"));
	tarball_end(&tars[0]);
	tarball_add(&tars[1], FILE_OF(".wh.gone", ""));
	tarball_add(&tars[1], FILE_OF("d/new", "2"));
	tarball_add(&tars[1], FILE_OF(".wh.d", "")); /* after the layer's own entry */
	tarball_add(&tars[1], FILE_OF("o/deep/new", "2"));
	tarball_add(&tars[1], FILE_OF("o/.wh..wh..opq", ""));
	tarball_add(&tars[1], FILE_OF("below/.wh.x", ""));
	tarball_add(&tars[1], FILE_OF(".wh..wh.plnk/1.2", ""));
	tarball_end(&tars[1]);
	for (int bottom = 0; bottom < 2; bottom++) {
		pack(&image, tars, 2, bottom);
		cr_assert(!has(&image, "d/old") && !has(&image, "o/old"));
		cr_assert(!has(&image, "o/deep/old") && !has(&image, ".wh..wh.plnk"));
		assert_content(&image, "d/new", "2");
		assert_content(&image, "o/deep/new", "2");
		assert_content(&image, "kept", "1");
		cr_assert_eq(is_opaque(&image, "d"), !bottom);
		cr_assert_eq(is_opaque(&image, "o"), !bottom);
		cr_assert(!is_opaque(&image, "o/deep"));
		cr_assert_eq(has(&image, "gone"), !bottom);
		cr_assert_eq(has(&image, "below/x"), !bottom);
		if (!bottom)
			cr_assert(is_whiteout(&image, "gone") && is_whiteout(&image, "below/x"));
		view_finish(&image);
	}
	tarball_finish(&tars[0]);
	tarball_finish(&tars[1]);
}

static bool has_label(const struct view *image, const char *label)
{
	struct erofs_disk_super super;

	memcpy(&super, image->data + EROFS_SUPER_OFFSET, sizeof super);
	return strncmp((const char *)super.volume_name, label, sizeof super.volume_name) == 0;
}

static bool has_opaque_label(const struct view *image)
{
	return has_label(image, PACK_LABEL_OPAQUE);
}

/* A mark on the root cannot be said to overlayfs, so the runtime is told to leave lower layers out.
 */
Test(whiteouts, opaque_root)
{
	struct tarball tars[2] = { 0 };
	struct view image;

	tarball_add(&tars[0], FILE_OF("old", "1"));
	tarball_end(&tars[0]);
	tarball_add(&tars[1], FILE_OF("new", "2"));
	tarball_add(&tars[1], FILE_OF("./.wh..wh..opq", ""));
	tarball_add(&tars[1], FILE_OF("d/.wh.gone", ""));
	tarball_end(&tars[1]);
	pack(&image, tars, 1, false);
	cr_assert(!has_opaque_label(&image));
	view_finish(&image);
	pack(&image, &tars[1], 1, false);
	cr_assert(has_opaque_label(&image));
	cr_assert(has(&image, "d") && !has(&image, "d/gone"));
	view_finish(&image);
	pack(&image, tars, 2, false);
	cr_assert(has_opaque_label(&image) && has(&image, "new") && !has(&image, "old"));
	view_finish(&image);
	pack(&image, tars, 2, true);
	cr_assert(!has_opaque_label(&image) && has(&image, "new") && !has(&image, "old"));
	tarball_finish(&tars[0]);
	tarball_finish(&tars[1]);
	view_finish(&image);
}

/* overlayfs lists what is in a folder that it does not merge: whiteouts there would be seen. */
Test(whiteouts, whiteouts_in_opaque_folders_are_needless)
{
	struct tarball tar = { 0 };
	struct view image;

	tarball_add(&tar, FILE_OF("o/.wh.a", ""));
	tarball_add(&tar, FILE_OF("o/deep/.wh.b", ""));
	tarball_add(&tar, FILE_OF("o/.wh..wh..opq", ""));
	tarball_add(&tar, FILE_OF("m/.wh.c", ""));
	tarball_end(&tar);
	pack(&image, &tar, 1, false);
	cr_assert(is_opaque(&image, "o") && has(&image, "o/deep"));
	cr_assert(!has(&image, "o/a") && !has(&image, "o/deep/b"));
	cr_assert(is_whiteout(&image, "m/c"));
	tarball_finish(&tar);
	view_finish(&image);
}

static void put_file(struct tree *tree, const char *path, unsigned layer)
{
	struct erofs_place place = { 0 };
	struct leaf *leaf = NULL;
	struct node *parent;
	struct path last;

	cr_assert_eq(tree_parent(tree, path, layer, &parent, &last), 0);
	cr_assert_eq(tree_leaf_create(&place, S_IFREG | 0644, &leaf), 0);
	cr_assert_eq(tree_put_leaf(tree, NULL, parent, &last, layer, leaf), 0);
}

/* Thirty thousand million steps if each entry looked at all files: the limit only ends a hang. */
Test(whiteouts, said_again_cost_nothing, .timeout = 100)
{
	enum { FILES = 100000, TIMES = 300000 };
	struct node *folder, *d;
	char path[32];
	struct path last;
	struct tree *tree;

	cr_assert_eq(tree_create(&tree), 0);
	put_file(tree, "d/old", 0);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof path, "d/e/%d", i);
		put_file(tree, path, 1);
	}
	cr_assert_eq(tree_parent(tree, "d/e/x", 1, &folder, &last), 0);
	cr_assert_eq(tree_parent(tree, "d/x", 1, &d, &last), 0);
	for (int i = 0; i < TIMES; i++) {
		struct path name = { .name = "d", .size = 1 };
		struct node *root;

		cr_assert_eq(tree_parent(tree, "d", 1, &root, &name), 0);
		cr_assert_eq(tree_opaque(tree, NULL, folder, 1), 0);
		cr_assert_eq(tree_opaque(tree, NULL, d, 1), 0);
		cr_assert_eq(tree_whiteout(tree, NULL, root, &name, 1), 0);
	}
	cr_assert_null(tree_find(tree, "d/old"));
	cr_assert_not_null(tree_find(tree, "d/e/7"));
	tree_destroy(tree);
}

/* A folder is looked at again in each layer, and when it is another one of the same name. */
Test(whiteouts, of_one_layer_after_the_other)
{
	struct tarball tars[3] = { 0 };
	struct view image;

	for (int i = 0; i < 3; i++) {
		char path[16];

		tarball_add(&tars[i], FILE_OF("d/.wh..wh..opq", ""));
		(void)snprintf(path, sizeof path, "d/%d", i);
		tarball_add(&tars[i], FILE_OF(path, ""));
		tarball_add(&tars[i], FILE_OF("d/.wh..wh..opq", ""));
		(void)snprintf(path, sizeof path, "e/f/%d", i);
		tarball_add(&tars[i], FILE_OF(path, ""));
		if (i == 1)
			tarball_add(&tars[i], FILE_OF("e/f/.wh..wh..opq", ""));
		if (i == 2)
			tarball_add(&tars[i], FILE_OF(".wh.e", ""));
		tarball_end(&tars[i]);
	}
	pack(&image, tars, 3, true);
	cr_assert(has(&image, "d/2") && !has(&image, "d/1") && !has(&image, "d/0"));
	cr_assert(has(&image, "e/f/2") && !has(&image, "e/f/1") && !has(&image, "e/f/0"));
	view_finish(&image);
	pack(&image, tars, 2, true);
	cr_assert(has(&image, "d/1") && !has(&image, "d/0"));
	cr_assert(has(&image, "e/f/1") && !has(&image, "e/f/0"));
	view_finish(&image);
	for (int i = 0; i < 3; i++)
		tarball_finish(&tars[i]);
}

/* overlayfs would take the default owner and mode of such folders, so the runtime is told. */
Test(whiteouts, folders_that_no_entry_made)
{
	static const struct {
		const char *paths[4]; /* with a slash at the end: folders */
		bool is_implied;
	} rows[] = {
		{ { "tmp/x" }, true },
		{ { "tmp/", "tmp/x" }, false },
		{ { "tmp/x", "tmp/" }, false },
		{ { "a/", "a/b/c" }, true },
		{ { "x", ".wh.y" }, false }, /* the root does not count */
		{ { "d/.wh.x" }, true },
		{ { "d/x", ".wh.d" }, false }, /* the one below is gone */
		{ { ".wh.d", "d/x" }, false },
		{ { "o/.wh..wh..opq", "o/x" }, true },
		{ { "o/", "o/.wh..wh..opq", "o/deep/x" }, false },
		{ { ".wh..wh..opq", "o/x" }, false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tarball tar = { 0 };
		struct view image;

		for (size_t k = 0; k < 4 && rows[i].paths[k]; k++) {
			const char *path = rows[i].paths[k];

			tarball_add(&tar, path[strlen(path) - 1] == '/' ? FOLDER(path)
									: FILE_OF(path, ""));
		}
		tarball_end(&tar);
		pack(&image, &tar, 1, false);
		cr_expect_eq(has_label(&image, PACK_LABEL_IMPLIED), rows[i].is_implied, "%zu", i);
		view_finish(&image);
		pack(&image, &tar, 1, true);
		cr_expect(!has_label(&image, PACK_LABEL_IMPLIED), "%zu", i);
		view_finish(&image);
		tarball_finish(&tar);
	}
}

/* Squashed, the folder is that of the layer below. */
Test(whiteouts, folders_that_a_lower_layer_made)
{
	struct tarball tars[2] = { 0 };
	struct view image;

	tarball_add(
	    &tars[0],
	    (struct tar_member){ .type = '5', .path = "tmp", .mode = 01777, .uid = 5, .mtime = 9 });
	tarball_end(&tars[0]);
	tarball_add(&tars[1], FILE_OF("tmp/x", ""));
	tarball_end(&tars[1]);
	pack(&image, tars, 2, false);
	cr_assert_eq(inode_of(&image, "tmp").disk.mode, S_IFDIR | 01777);
	cr_assert_eq(inode_of(&image, "tmp").disk.uid, 5);
	cr_assert(has(&image, "tmp/x") && !has_label(&image, PACK_LABEL_IMPLIED));
	tarball_finish(&tars[0]);
	tarball_finish(&tars[1]);
	view_finish(&image);
}
