/* See virtio_fs.h. What the server says is about its own process: it may have been taken over. */
#include "devices/virtio_fs.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include "devices/fs/channel.h"
#include "devices/fs/fs.h"
#include "devices/io.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>

enum { QUEUE_SIZE = 512 };
_Static_assert((int)QUEUE_SIZE >= FS_MAX_WAITING + 64, "those that wait leave room for others");

struct virtio_fs {
	struct virtio_device device; /* first */
	struct virtio_type type;     /* its number of queues is its own */
	struct virtio_fs_link *link;
	uint32_t share;
	bool stopped;
};

struct virtio_fs_link {
	struct io *io;
	int socket;
	struct io_op readable;
	void (*gone)(void *context);
	void *context;
	bool is_gone, has_grown;
	const struct fs_statistics *statistics; /* NULL before the server has memory */
	struct virtio_fs *devices[FS_MAX_SHARES];
};

struct config { /* struct virtio_fs_config of the specification */
	char tag[VIRTIO_FS_TAG_SIZE];
	uint32_t num_request_queues;
};

static void link_is_gone(struct virtio_fs_link *link)
{
	if (link->is_gone)
		return;
	link->is_gone = true;
	link->gone(link->context);
}

/* 1: one was handled. 0: none is there (with wait false). -EPIPE: the server is gone. */
static int take_message(struct virtio_fs_link *link, bool wait)
{
	int fds[PACKET_MAX_FDS];
	struct fs_message message;
	struct virtio_fs *fs;
	size_t count;
	int r = fs_message_receive(link->socket, wait, &message, fds, &count);

	if (r == -EAGAIN)
		return 0;
	if (r == 1)
		for (size_t i = 0; i < count; i++)
			close_fd(&fds[i]);
	if (r == 1 && message.kind == FS_MESSAGE_GROWN) {
		link->has_grown = true;
		return 1;
	}
	fs = r == 1 ? link->devices[message.share] : NULL;
	if (!fs)
		return -EPIPE;
	if (message.kind == FS_MESSAGE_STOPPED)
		fs->stopped = true;
	else if (message.kind == FS_MESSAGE_BROKEN && fs->device.active)
		virtio_break(&fs->device, "bad descriptors");
	return 1;
}

static void on_readable(struct io_op *op, int result)
{
	struct virtio_fs_link *link = container_of(op, struct virtio_fs_link, readable);
	int r;

	if (result == -ECANCELED)
		return;
	do
		r = take_message(link, false);
	while (r == 1);
	if (r == 0)
		io_poll(link->io, &link->readable, link->socket, POLLIN, on_readable);
	else
		link_is_gone(link);
}

int virtio_fs_link_create(struct io *io, int socket, void (*gone)(void *context), void *context,
			  struct virtio_fs_link **out)
{
	struct virtio_fs_link *link = calloc(1, sizeof *link);

	if (!link)
		return -ENOMEM;
	link->io = io;
	link->socket = socket;
	link->gone = gone;
	link->context = context;
	io_poll(io, &link->readable, socket, POLLIN, on_readable);
	*out = link;
	return 0;
}

void virtio_fs_link_destroy(struct virtio_fs_link *link)
{
	if (!link)
		return;
	(void)io_cancel_wait(&link->readable);
	if (link->statistics)
		(void)munmap((void *)(uintptr_t)link->statistics, sizeof *link->statistics);
	free(link);
}

/* The server shall not be able to cut it short: a look at it would end this process. */
static int open_statistics(struct virtio_fs_link *link, int *fd)
{
	own_fd made = (int)SYS(memfd_create, "share-statistics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = NULL;
	int r = made < 0 ? made : (int)SYS(ftruncate, made, sizeof *link->statistics);

	if (r == 0)
		r = (int)SYS(fcntl, made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (r == 0)
		r = sys_mmap(NULL, sizeof *link->statistics, PROT_READ, MAP_SHARED, made, 0, &at);
	if (r < 0)
		return r;
	link->statistics = at;
	*fd = take_fd(&made);
	return 0;
}

int virtio_fs_link_memory(struct virtio_fs_link *link, int memory_fd, uint64_t memory_size,
			  const struct gmem *mem)
{
	struct fs_message message = { .kind = FS_MESSAGE_MEMORY };
	own_fd statistics = -EBADF;
	uint64_t offset = 0;
	int r = open_statistics(link, &statistics);

	if (r < 0)
		return r;

	message.body.memory.size = memory_size;
	message.body.memory.count = (uint32_t)mem->region_count;
	for (size_t i = 0; i < mem->region_count; i++) {
		message.body.memory.ranges[i].start = mem->regions[i].start;
		message.body.memory.ranges[i].size = mem->regions[i].size;
		message.body.memory.ranges[i].offset = offset;
		offset += mem->regions[i].size;
	}
	return fs_message_send(link->socket, &message, (int[]){ memory_fd, statistics }, 2);
}

int virtio_fs_link_more(struct virtio_fs_link *link, int more_fd, uint64_t limit, gpa_t start,
			uint64_t size)
{
	struct fs_message message = { .kind = FS_MESSAGE_MORE };
	int r;

	if (link->is_gone)
		return -EPIPE;
	message.body.more.limit = limit;
	message.body.more.start = start.value;
	message.body.more.size = size;
	link->has_grown = false;
	r = fs_message_send(link->socket, &message, &more_fd, 1);
	if (r < 0)
		return r;
	do
		r = take_message(link, true);
	while (r == 1 && !link->has_grown);
	return link->has_grown ? 0 : -EPIPE;
}

/* ---- the device ---- */

static int activate(struct virtio_device *device)
{
	const struct virtio_fs *fs = (const struct virtio_fs *)(void *)device;
	struct fs_message message = { .kind = FS_MESSAGE_START, .share = fs->share };
	int fds[PACKET_MAX_FDS] = { device->irq_fd };

	message.body.start.queue_count = fs->type.queue_count;
	message.body.start.event_index = device->driver_features >> VIRTIO_RING_F_EVENT_IDX & 1;
	for (unsigned i = 0; i < fs->type.queue_count; i++) {
		message.body.start.queues[i] = device->layouts[i];
		fds[i + 1] = device->kick_fds[i];
	}
	return fs_message_send(fs->link->socket, &message, fds, fs->type.queue_count + 1U);
}

/* The server answers when no request is on its way any more: a disk's time, as for a disk. */
static void quiesce(struct virtio_device *device)
{
	struct virtio_fs *fs = (struct virtio_fs *)(void *)device;
	struct fs_message message = { .kind = FS_MESSAGE_STOP, .share = fs->share };

	if (fs->link->is_gone)
		return;
	fs->stopped = false;
	if (fs_message_send(fs->link->socket, &message, NULL, 0) < 0)
		return; /* gone, and with it its access to memory: the loop will see it */
	while (!fs->stopped && take_message(fs->link, true) == 1)
		continue;
}

static void notify(struct virtio_device *device, unsigned queue)
{
	(void)device; /* kicks go to the server */
	(void)queue;
}

/* Each number by itself: together they may be of different moments. */
static void look(const struct virtio_device *device, unsigned queue,
		 struct virtio_queue_stats *stats, struct virtqueue_view *view)
{
	const struct virtio_fs *fs = (const struct virtio_fs *)(const void *)device;
	const struct fs_queue_statistics *from;

	if (!fs->link->statistics)
		return;
	from = &fs->link->statistics->queues[fs->share][queue];
	stats->kicks = __atomic_load_n(&from->counts.kicks, __ATOMIC_RELAXED);
	stats->chains = __atomic_load_n(&from->counts.chains, __ATOMIC_RELAXED);
	stats->to_guest = __atomic_load_n(&from->counts.to_guest, __ATOMIC_RELAXED);
	stats->from_guest = __atomic_load_n(&from->counts.from_guest, __ATOMIC_RELAXED);
	stats->interrupts = __atomic_load_n(&from->counts.interrupts, __ATOMIC_RELAXED);
	stats->unwanted = __atomic_load_n(&from->counts.unwanted, __ATOMIC_RELAXED);
	if (view->size == 0)
		return;
	view->next_used = __atomic_load_n(&from->next_used, __ATOMIC_RELAXED);
	view->next_avail = __atomic_load_n(&from->next_avail, __ATOMIC_RELAXED);
	view->in_flight = (uint16_t)(view->next_avail - view->next_used);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_fs *fs = (struct virtio_fs *)(void *)device;

	fs->link->devices[fs->share] = NULL;
	free(fs);
}

bool virtio_fs_tag(const struct virtio_device *device, char out[VIRTIO_FS_TAG_SIZE])
{
	if (device->type->id != VIRTIO_ID_FS)
		return false;
	memcpy(out, device->config, VIRTIO_FS_TAG_SIZE);
	return true;
}

int virtio_fs_create(const struct virtio_fs_config *config, struct virtio_device **out)
{
	struct config layout = { .num_request_queues = config->request_queues };
	struct virtio_fs *fs;

	if (config->share >= FS_MAX_SHARES || config->link->devices[config->share] ||
	    config->request_queues == 0 || config->request_queues >= VIRTIO_MAX_QUEUES)
		return -EINVAL;
	fs = calloc(1, sizeof *fs);
	if (!fs)
		return -ENOMEM;
	fs->type = (struct virtio_type){
		.name = "virtio-fs",
		.id = VIRTIO_ID_FS,
		.queue_count =
		    (uint16_t)(config->request_queues + 1), /* the first: what cannot wait */
		.queue_size = QUEUE_SIZE,
		.is_elsewhere = true,
		.activate = activate,
		.notify = notify,
		.quiesce = quiesce,
		.look = look,
		.destroy = destroy,
	};
	fs->link = config->link;
	fs->share = config->share;
	virtio_device_init(&fs->device, &fs->type);
	memcpy(layout.tag, config->tag, sizeof layout.tag);
	memcpy(fs->device.config, &layout, sizeof layout);
	fs->device.config_size = sizeof layout;
	config->link->devices[config->share] = fs;
	*out = &fs->device;
	return 0;
}
