/* Open files and folders. A request on its way keeps the descriptor, whatever the guest does. */
#include "devices/fs/fs_private.h"

#include <stdio.h>
#include <sys/inotify.h>

void fs_number(int fd, char out[12])
{
	(void)snprintf(out, 12, "%d", fd);
}

int fs_handle_new(struct fs *fs, struct fs_node *node, int fd, struct fs_handle **out)
{
	struct fs_handle *handle = calloc(1, sizeof *handle);
	int r;

	if (!handle)
		return -ENOMEM;
	r = fs_table_add(&fs->handles, handle, &handle->id);
	if (r < 0) {
		free(handle);
		return r;
	}
	handle->fd = fd;
	handle->node = node;
	handle->next = node->handles;
	node->handles = handle;
	*out = handle;
	return 0;
}

struct fs_handle *fs_handle_find(const struct fs *fs, uint64_t id, const struct fs_node *node)
{
	struct fs_handle *handle = fs_table_find(&fs->handles, id);

	return handle && handle->node == node && !handle->released ? handle : NULL;
}

void fs_handle_hold(struct fs_handle *handle)
{
	handle->busy++;
}

static void end(struct fs *fs, struct fs_handle *handle)
{
	struct fs_node *node = handle->node;
	struct fs_handle **at = &node->handles;

	while (*at != handle)
		at = &(*at)->next;
	*at = handle->next;
	fs_own_node(fs, node, IN_CLOSE_WRITE);
	fs_locks_drop(node, handle, NULL);
	fs_table_remove(&fs->handles, handle->id);
	close_fd(&handle->fd);
	fs_listing_end(fs, handle);
	free(handle);
	fs_node_release(fs, node);
}

void fs_handle_drop(struct fs *fs, struct fs_handle *handle)
{
	if (--handle->busy == 0 && handle->released)
		end(fs, handle);
}

void fs_handle_release(struct fs *fs, struct fs_handle *handle)
{
	handle->released = true;
	if (handle->busy == 0)
		end(fs, handle);
}
