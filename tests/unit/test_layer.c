/* Tars in, images out: the rules of layers. */
#include "layer_image.h"

Test(layer, metadata)
{
	struct tarball tar = { 0 };
	struct view image;
	struct view_inode inode;

	tarball_add(&tar, (struct tar_member){ .type = '5', .path = "./", .mode = 0711, .uid = 3 });
	tarball_pax(&tar, "mtime", "-1.25", 5);
	tarball_add(&tar, (struct tar_member){ .path = "/bin/su",
					       .content = "x",
					       .size = 1,
					       .mode = 06755,
					       .uid = 70000,
					       .gid = 7 });
	tarball_add(&tar,
		    (struct tar_member){
			.type = '3', .path = "dev/null", .major = 1, .minor = 300, .mode = 0666 });
	tarball_add(&tar, (struct tar_member){ .type = '6', .path = "fifo" });
	tarball_add(&tar, SYMLINK("sh", "bin/su"));
	tarball_add(&tar, HARD_LINK("bin/sudo", "./bin//su"));
	tarball_end(&tar);
	pack(&image, &tar, 1, true);
	inode = inode_of(&image, "");
	cr_assert_eq(inode.disk.mode, S_IFDIR | 0711);
	cr_assert_eq(inode.disk.uid, 3);
	inode = inode_of(&image, "bin/su");
	cr_assert_eq(inode.disk.mode, S_IFREG | 06755);
	cr_assert_eq(inode.disk.uid, 70000);
	cr_assert_eq(inode.disk.gid, 7);
	cr_assert_eq(inode.disk.mtime, -2);
	cr_assert_eq(inode.disk.mtime_ns, 750000000);
	cr_assert_eq(inode.disk.nlink, 2);
	cr_assert_eq(inode_of(&image, "bin/sudo").nid, inode.nid);
	cr_assert_eq(inode_of(&image, "bin").disk.mode, S_IFDIR | 0755);
	cr_assert_eq(inode_of(&image, "dev/null").disk.where, 1 << 8 | 44 | 256 << 12);
	cr_assert(S_ISFIFO(inode_of(&image, "fifo").disk.mode));
	assert_content(&image, "sh", "bin/su");
	tarball_finish(&tar);
	view_finish(&image);
}

Test(layer, long_names_and_large_folders)
{
	char path[700], name[64];
	struct tarball tar = { 0 };
	struct view image;

	memset(path, 'a', sizeof path);
	path[200] = path[400] = path[600] = '/';
	path[699] = '\0';
	tarball_pax(&tar, "path", path, strlen(path));
	tarball_add(&tar, FILE_OF("short", "pax"));
	path[699 - 1] = 'b';
	tarball_add(&tar, (struct tar_member){ .type = 'L',
					       .path = "././@LongLink",
					       .content = path,
					       .size = strlen(path) + 1 });
	tarball_add(&tar, FILE_OF("short", "gnu"));
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof name, "many/%u-%u", i * 7919 % 3000, i);
		tarball_add(&tar, FILE_OF(name, name));
	}
	tarball_end(&tar);
	pack(&image, &tar, 1, true);
	assert_content(&image, path, "gnu");
	path[699 - 1] = 'a';
	assert_content(&image, path, "pax");
	assert_content(&image, name, name);
	tarball_finish(&tar);
	view_finish(&image);
}

/* Every size around the borders of tail, block and chunk, and content that tells its position. */
Test(layer, content_of_every_layout)
{
	static const size_t sizes[] = { 0,    1,    3900, 4031,  4032,  4033,  4095,
					4096, 4097, 8192, 65535, 65536, 65537, 200000 };
	size_t count = sizeof sizes / sizeof sizes[0];
	uint8_t *content = malloc(200000), *read_back = malloc(200000);
	struct tarball tar = { 0 };
	struct view image;
	char name[32];

	for (size_t i = 0; i < 200000; i++)
		content[i] = (uint8_t)(i / 251 + i);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(name, sizeof name, "f%zu", sizes[i]);
		tarball_add(&tar, (struct tar_member){
				      .path = name, .content = content, .size = sizes[i] });
	}
	tarball_end(&tar);
	for (size_t step = 1; step < 100000; step = step * 13 + 500) {
		cr_assert_eq(pack_to(&image, &tar, 1, true, step), 0, "%s", err.text);
		for (size_t i = 0; i < count; i++) {
			struct view_inode inode;

			(void)snprintf(name, sizeof name, "f%zu", sizes[i]);
			inode = inode_of(&image, name);
			cr_assert_eq(inode.disk.size, sizes[i]);
			view_read(&image, &inode, 0, read_back, sizes[i]);
			cr_assert_eq(memcmp(content, read_back, sizes[i]), 0, "%s", name);
		}
		view_finish(&image);
	}
	tarball_finish(&tar);
	free(content);
	free(read_back);
}

Test(layer, zeros_are_holes)
{
	enum { SIZE = 10 << 20 };
	char *content = calloc(1, SIZE), byte = 1;
	struct tarball tar = { 0 };
	struct view_inode inode;
	struct view image;

	content[5 << 20] = 'x';
	content[SIZE - 1] = 'y';
	tarball_add(&tar, (struct tar_member){ .path = "f", .content = content, .size = SIZE });
	tarball_add(&tar, (struct tar_member){ .path = "zero", .content = content, .size = 70000 });
	tarball_end(&tar);
	pack(&image, &tar, 1, true);
	cr_assert_lt(image.size, 200 << 10);
	inode = inode_of(&image, "f");
	cr_assert_eq(inode.disk.size, SIZE);
	view_read(&image, &inode, 5 << 20, &byte, 1);
	cr_assert_eq(byte, 'x');
	view_read(&image, &inode, (5 << 20) + 1, &byte, 1);
	cr_assert_eq(byte, 0);
	view_read(&image, &inode, SIZE - 1, &byte, 1);
	cr_assert_eq(byte, 'y');
	inode = inode_of(&image, "zero");
	view_read(&image, &inode, 69999, &byte, 1);
	cr_assert_eq(byte, 0);
	tarball_finish(&tar);
	view_finish(&image);
	free(content);
}

static void assert_sparse(const struct view *image, const char *path, uint64_t size)
{
	struct view_inode inode = inode_of(image, path);
	char text[6] = { 0 };

	cr_assert_eq(inode.disk.size, size, "%s", path);
	view_read(image, &inode, 0, text, 5);
	cr_assert_str_eq(text, "first", "%s", path);
	view_read(image, &inode, UINT64_C(1) << 40, text, 5);
	cr_assert_str_eq(text, "later", "%s", path);
	view_read(image, &inode, 1 << 20, text, 5);
	cr_assert_eq(text[0], 0);
}

Test(layer, sparse_formats)
{
	static const char content[] = "firstlater";
	static const char map[] = "2\n0\n5\n1099511627776\n5\n";
	const uint64_t size = (UINT64_C(1) << 40) + 1000;
	struct tarball tar = { 0 };
	struct view image;
	char body[TAR_BLOCK + 10] = { 0 };

	tarball_pax(&tar, "GNU.sparse.map", "0,5,1099511627776,5", 19);
	tarball_add(&tar, FILE_OF("ignored", content)); /* no size: the stored one, too small */
	refuse(&tar, -EINVAL, "sparse");

	/* records of one header, as the formats want them */
	memcpy(body, map, sizeof map - 1);
	memcpy(body + TAR_BLOCK, content, 10);
	{
		static const char records[] = "38 GNU.sparse.map=0,5,1099511627776,5\n"
					      "33 GNU.sparse.size=1099511628776\n";
		static const char one[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					  "37 GNU.sparse.realsize=1099511628776\n"
					  "25 GNU.sparse.name=named\n";

		tarball_add(&tar, (struct tar_member){ .type = 'x',
						       .path = "p",
						       .content = records,
						       .size = strlen(records) });
		tarball_add(&tar, FILE_OF("v01", content));
		tarball_add(&tar,
			    (struct tar_member){
				.type = 'x', .path = "p", .content = one, .size = strlen(one) });
		tarball_add(&tar, (struct tar_member){
				      .path = "v10", .content = body, .size = sizeof body });
	}
	tarball_end(&tar);
	pack(&image, &tar, 1, true);
	cr_assert_lt(image.size, 40 << 20);
	assert_sparse(&image, "v01", size);
	assert_sparse(&image, "named", size);
	tarball_finish(&tar);
	view_finish(&image);
}

Test(layer, extended_attributes)
{
	static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 4 };
	struct tarball tar = { 0 };
	struct view_inode inode;
	struct view image;
	size_t size;
	const char *value;

	tarball_pax(&tar, "SCHILY.xattr.security.capability", capability, sizeof capability);
	tarball_add(&tar, FILE_OF("ping", "x"));
	tarball_pax(&tar, "SCHILY.xattr.trusted.overlay.redirect", "/etc", 4);
	tarball_add(&tar, FOLDER("d"));
	tarball_pax(&tar, "SCHILY.xattr.user.mime", "a\0b", 3);
	tarball_add(&tar, FOLDER("e"));
	tarball_end(&tar);
	pack(&image, &tar, 1, true);
	inode = inode_of(&image, "ping");
	value = view_xattr(&image, &inode, 6, "capability", &size);
	cr_assert(value && size == sizeof capability && !memcmp(value, capability, size));
	inode = inode_of(&image, "d");
	cr_assert_eq(inode.disk.xattr_words, 0);
	inode = inode_of(&image, "e");
	value = view_xattr(&image, &inode, 1, "mime", &size);
	cr_assert(value && size == 3 && !memcmp(value, "a\0b", 3));
	tarball_finish(&tar);
	view_finish(&image);
}

Test(layer, later_entries_win)
{
	struct tarball tars[2] = { 0 };
	struct view image;

	tarball_add(&tars[0], FILE_OF("a", "1"));
	tarball_add(&tars[0], FILE_OF("a", "22"));
	tarball_add(&tars[0], HARD_LINK("b", "a"));
	tarball_add(&tars[0], FILE_OF("a", "333"));
	tarball_add(&tars[0], FILE_OF("x/y/z", "1"));
	tarball_add(&tars[0], HARD_LINK("x", "x/y/z")); /* its other name goes with the folder */
	tarball_add(&tars[0], SYMLINK("lib", "usr/lib"));
	tarball_end(&tars[0]);
	tarball_add(&tars[1], FILE_OF("lib/f", "2")); /* as overlayfs shows it */
	tarball_end(&tars[1]);
	pack(&image, tars, 2, false);
	assert_content(&image, "a", "333");
	assert_content(&image, "b", "22");
	cr_assert_eq(inode_of(&image, "b").disk.nlink, 1);
	assert_content(&image, "x", "1");
	assert_content(&image, "lib/f", "2");
	cr_assert(is_opaque(&image, "lib"));
	tarball_finish(&tars[0]);
	tarball_finish(&tars[1]);
	view_finish(&image);
}

Test(layer, hostile_tars_are_refused)
{
	struct tarball tar = { 0 };
	char name[257];

	tarball_add(&tar, FILE_OF("a/../../etc/passwd", "x"));
	refuse(&tar, -EINVAL, "a/../../etc/passwd: ");
	tarball_add(&tar, SYMLINK("a", "/etc"));
	tarball_add(&tar, FILE_OF("a/passwd", "x"));
	refuse(&tar, -EINVAL, "no folder");
	tarball_add(&tar, HARD_LINK("a", "../etc/shadow"));
	refuse(&tar, -EINVAL, "hard link to ../etc/shadow");
	tarball_add(&tar, HARD_LINK("a", "etc/shadow"));
	refuse(&tar, -EINVAL, "which this layer does not have");
	tarball_add(&tar, FOLDER("d"));
	tarball_add(&tar, HARD_LINK("a", "d"));
	refuse(&tar, -EINVAL, "hard link to the folder");
	tarball_add(&tar, SYMLINK("./", "x"));
	refuse(&tar, -EINVAL, "the root is not a folder");
	tarball_add(&tar, FILE_OF("\x1b[31m/..", "x"));
	refuse(&tar, -EINVAL, "\\x1b[31m/..");
	memset(name, 'n', sizeof name - 1);
	name[256] = '\0';
	tarball_pax(&tar, "path", name, 256);
	tarball_add(&tar, FILE_OF("x", "x"));
	refuse(&tar, -EINVAL, "too long");
	tarball_add(&tar, (struct tar_member){ .type = 'Q', .path = "q" });
	refuse(&tar, -EINVAL, "unknown type");
	tarball_pax(&tar, "path", "a\0b", 3);
	tarball_add(&tar, FILE_OF("x", "x"));
	refuse(&tar, -EINVAL, "bad value of path");
	tarball_pax(&tar, "size", "18446744073709551616", 20);
	tarball_add(&tar, FILE_OF("x", "x"));
	refuse(&tar, -EINVAL, "bad value of size");
}

Test(layer, damaged_tars)
{
	struct tarball tar = { 0 };
	struct view image;

	tarball_add(&tar, FILE_OF("whole", "x"));
	tarball_add(&tar, FILE_OF("cut", "content"));
	for (size_t size = 1; size < tar.size; size++) {
		struct tarball part = { .data = tar.data, .size = size };
		int r = pack_to(&image, &part, 1, true, 0);

		if (size % 1024 == 0) { /* between entries: writers exist that stop there */
			cr_assert_eq(r, 0);
			view_finish(&image);
		} else {
			cr_assert_eq(r, -EBADMSG, "%zu: %s", size, err.text);
		}
	}
	tar.data[0] ^= 1;
	cr_assert_eq(pack_to(&image, &tar, 1, true, 0), -EINVAL);
	cr_assert(strstr(err.text, "checksum"), "%s", err.text);
	tarball_finish(&tar);
}

Test(layer, same_tar_same_image)
{
	struct tarball tar = { 0 };
	struct view image[2];

	for (char name[2] = "a"; *name <= 'z'; name[0]++)
		tarball_add(&tar, FILE_OF(name, name));
	tarball_end(&tar);
	pack(&image[0], &tar, 1, true);
	cr_assert_eq(pack_to(&image[1], &tar, 1, true, 100), 0);
	cr_assert_eq(image[0].size, image[1].size);
	cr_assert_eq(memcmp(image[0].data, image[1].data, image[0].size), 0);
	tarball_finish(&tar);
	view_finish(&image[0]);
	view_finish(&image[1]);
}
