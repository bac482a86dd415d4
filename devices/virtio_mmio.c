/*
 * The register page. vCPU threads come in here; the device lives on the device thread. So:
 *  - registers are a plain struct under one lock per device;
 *  - what touches the device (activate, reset, configuration writes) is run on the device thread
 *    by io_call while the lock is held, which makes each register write atomic to the driver;
 *  - the device thread never takes that lock. What it tells the driver (interrupt status, need for
 *    reset, configuration generation) are single atomic words in struct virtio_device.
 *
 * What the driver wrote is only remembered until DRIVER_OK; then it is judged once, copied into
 * the queues, and not looked at again until reset.
 */
#include "devices/virtio_mmio.h"
#include "base/own.h"
#include "base/sys.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum {
	VENDOR = 0x4d56414b, /* "KAVM" */
	STATUS_DRIVER_BITS = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			     VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
			     VIRTIO_CONFIG_S_FAILED,
};

#define TRANSPORT_FEATURES                                                                         \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |          \
	 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/* What the driver wrote: plain words, zeroed by reset. */
struct registers {
	uint32_t status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	struct virtqueue_layout queues[VIRTIO_MAX_QUEUES];
};

struct kick {
	struct io_op op;
	struct virtio_mmio *mmio;
	unsigned queue;
};

struct virtio_mmio {
	struct virtio_device *device;
	struct io *io;
	pthread_mutex_t lock; /* vCPU threads only */
	struct registers registers;
	struct kick kicks[VIRTIO_MAX_QUEUES];
	uint32_t is_hidden; /* atomic: 1 until the first look at a late device */
};

/* ---- on the device thread ---- */

static void kicked(struct io_op *op, int result)
{
	struct kick *kick = (struct kick *)(void *)op;
	struct virtio_device *device = kick->mmio->device;
	struct virtqueue *queue = &device->queues[kick->queue];

	if (result < 0)
		return;
	device->stats[kick->queue].kicks++;
	if (!device->active || queue->size == 0 || queue->broken)
		return;
	virtqueue_disable_kicks(queue);
	device->type->notify(device, kick->queue);
}

void virtio_mmio_quiesce(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	for (unsigned i = 0; i < device->type->queue_count; i++)
		(void)io_cancel_wait(&mmio->kicks[i].op);
	if (device->active && device->type->quiesce)
		device->type->quiesce(device);
	device->active = false;
	memset(device->queues, 0, sizeof device->queues);
}

static void quiesce_call(void *argument)
{
	virtio_mmio_quiesce(argument);
}

static int open_queues(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;
	bool event_index = device->driver_features >> VIRTIO_RING_F_EVENT_IDX & 1;

	for (unsigned i = 0; i < device->type->queue_count; i++) {
		const struct virtqueue_layout *layout = &mmio->registers.queues[i];
		int r = 0;

		device->layouts[i] = *layout;
		if (layout->ready)
			r = virtqueue_open(&device->queues[i], device->mem, layout, event_index);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The vCPU that wrote DRIVER_OK holds the lock and waits, so the registers stand still. */
static void activate_call(void *argument)
{
	struct virtio_mmio *mmio = argument;
	struct virtio_device *device = mmio->device;
	int r;

	device->driver_features = mmio->registers.driver_features;
	r = open_queues(mmio);
	if (r < 0) {
		memset(device->queues, 0, sizeof device->queues);
		virtio_break(device, "queues outside of memory");
		return;
	}
	device->active = true;
	if (device->type->activate && device->type->activate(device) < 0) {
		virtio_break(device, "cannot be activated");
		return;
	}
	for (unsigned i = 0; i < device->type->queue_count; i++)
		if (!device->type->is_elsewhere || (device->queues_here >> i & 1))
			io_watch(mmio->io, &mmio->kicks[i].op, device->kick_fds[i], kicked);
}

struct config_write {
	struct virtio_device *device;
	size_t offset, size;
};

static void config_call(void *argument)
{
	const struct config_write *write = argument;

	write->device->type->config_written(write->device, write->offset, write->size);
}

/* ---- on vCPU threads, under the lock ---- */

static uint64_t offered(const struct virtio_device *device)
{
	return device->features | TRANSPORT_FEATURES;
}

static void reset(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	/* only this lock's holders change DRIVER_OK, so an idle device costs no thread switch */
	if (mmio->registers.status & VIRTIO_CONFIG_S_DRIVER_OK)
		(void)io_call(mmio->io, quiesce_call, mmio);
	mmio->registers = (struct registers){ 0 };
	__atomic_store_n(&device->needs_reset, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&device->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	struct registers *regs = &mmio->registers;
	uint32_t before = regs->status, added = value & ~before;

	if (value == 0) {
		reset(mmio);
		return;
	}
	/* a driver adds bits and never takes one away but by reset (3.1.1); the bit that asks for
	 * reset is not its to write */
	value &= ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET;
	if ((before & ~value) || (value & ~(uint32_t)STATUS_DRIVER_BITS))
		return;
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((regs->driver_features & ~offered(mmio->device)) ||
	     !(regs->driver_features >> VIRTIO_F_VERSION_1 & 1)))
		value &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(value & VIRTIO_CONFIG_S_FEATURES_OK))
		value &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	regs->status = value;
	if (value & ~before & VIRTIO_CONFIG_S_DRIVER_OK)
		(void)io_call(mmio->io, activate_call, mmio);
}

static bool may_negotiate(const struct registers *regs)
{
	return !(regs->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK));
}

static void set_half(uint64_t *whole, bool high, uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	*whole = (*whole & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static void write_queue(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct registers *regs = &mmio->registers;
	struct virtqueue_layout *queue = &regs->queues[regs->queue_sel % VIRTIO_MAX_QUEUES];

	if (regs->queue_sel >= mmio->device->type->queue_count ||
	    (regs->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		queue->ready = value & 1;
		return;
	}
	if (queue->ready)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		queue->size = value <= mmio->device->type->queue_size ? (uint16_t)value : 0;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&queue->descriptors.value, offset & 4, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&queue->avail.value, offset & 4, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&queue->used.value, offset & 4, value);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct registers *regs = &mmio->registers;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		regs->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		regs->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (may_negotiate(regs) && regs->driver_features_sel < 2)
			set_half(&regs->driver_features, regs->driver_features_sel == 1, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		regs->queue_sel = value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, value);
		break;
	default:
		write_queue(mmio, offset, value);
		break;
	}
}

static uint32_t read_queue(const struct virtio_mmio *mmio, uint64_t offset)
{
	const struct registers *regs = &mmio->registers;

	if (regs->queue_sel >= mmio->device->type->queue_count)
		return 0;
	if (offset == VIRTIO_MMIO_QUEUE_NUM_MAX)
		return mmio->device->type->queue_size;
	return regs->queues[regs->queue_sel].ready;
}

static uint32_t read_register(const struct virtio_mmio *mmio, uint64_t offset)
{
	const struct registers *regs = &mmio->registers;
	const struct virtio_device *device = mmio->device;
	uint32_t select = regs->device_features_sel;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return select < 2 ? (uint32_t)(offered(device) >> 32 * select) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
	case VIRTIO_MMIO_QUEUE_READY:
		return read_queue(mmio, offset);
	case VIRTIO_MMIO_STATUS:
		return regs->status | (__atomic_load_n(&device->needs_reset, __ATOMIC_SEQ_CST)
					   ? VIRTIO_CONFIG_S_NEEDS_RESET
					   : 0);
	default:
		return 0;
	}
}

/* ---- entry points ---- */

/* Constants and the words the device thread changes: no lock. */
static bool read_free_register(const struct virtio_device *device, uint64_t offset, uint32_t *out)
{
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		*out = VIRTIO_MMIO_MAGIC;
		return true;
	case VIRTIO_MMIO_VERSION:
		*out = VIRTIO_MMIO_REGISTERS;
		return true;
	case VIRTIO_MMIO_DEVICE_ID:
		*out = device->type->id;
		return true;
	case VIRTIO_MMIO_VENDOR_ID:
		*out = VENDOR;
		return true;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		*out = __atomic_load_n(&device->interrupt_status, __ATOMIC_SEQ_CST);
		/* whoever has the queues sends the interrupt, and it is about them: a driver that
		 * looks and finds nothing loses nothing */
		if (device->type->is_elsewhere)
			*out |= VIRTIO_MMIO_INT_VRING;
		return true;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		*out = __atomic_load_n(&device->config_generation, __ATOMIC_SEQ_CST);
		return true;
	case VIRTIO_MMIO_SHM_LEN_LOW: /* no shared memory regions: all ones (4.2.2) */
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		*out = UINT32_MAX;
		return true;
	default:
		return false;
	}
}

/* 1, 2 or 4 bytes, aligned, inside what the device has (4.2.2.2). */
static bool is_config_access(const struct virtio_device *device, uint64_t offset, size_t size)
{
	uint64_t at = offset - VIRTIO_MMIO_CONFIG;

	return offset >= VIRTIO_MMIO_CONFIG && (size == 1 || size == 2 || size == 4) &&
	       at % size == 0 && size <= device->config_size && at <= device->config_size - size;
}

bool virtio_mmio_is_free(struct virtio_mmio *mmio)
{
	bool is_free;

	(void)pthread_mutex_lock(&mmio->lock);
	is_free = !(mmio->registers.status & VIRTIO_CONFIG_S_DRIVER);
	(void)pthread_mutex_unlock(&mmio->lock);
	return is_free;
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, size_t size)
{
	struct virtio_device *device = mmio->device;
	uint32_t value;

	memset(data, 0, size);
	if (is_config_access(device, offset, size)) {
		(void)pthread_mutex_lock(&device->config_lock);
		memcpy(data, device->config + (offset - VIRTIO_MMIO_CONFIG), size);
		(void)pthread_mutex_unlock(&device->config_lock);
		return;
	}
	if (size != sizeof value || offset % sizeof value || offset >= VIRTIO_MMIO_CONFIG)
		return;
	if (offset == VIRTIO_MMIO_DEVICE_ID &&
	    __atomic_exchange_n(&mmio->is_hidden, 0, __ATOMIC_SEQ_CST)) {
		value = 0;
	} else if (!read_free_register(device, offset, &value)) {
		(void)pthread_mutex_lock(&mmio->lock);
		value = read_register(mmio, offset);
		(void)pthread_mutex_unlock(&mmio->lock);
	}
	memcpy(data, &value, sizeof value);
}

static void write_config(struct virtio_mmio *mmio, uint64_t offset, const void *data, size_t size)
{
	struct virtio_device *device = mmio->device;
	size_t at = (size_t)(offset - VIRTIO_MMIO_CONFIG);
	struct config_write write = { .device = device, .offset = at, .size = size };

	if (!device->config_writable || !device->config_writable(at, size))
		return;
	(void)pthread_mutex_lock(&device->config_lock);
	memcpy(device->config + at, data, size);
	(void)pthread_mutex_unlock(&device->config_lock);
	if (device->type->config_written)
		(void)io_call(mmio->io, config_call, &write);
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data, size_t size)
{
	struct virtio_device *device = mmio->device;
	bool is_config = is_config_access(device, offset, size);
	uint32_t value;

	if (!is_config &&
	    (size != sizeof value || offset % sizeof value || offset >= VIRTIO_MMIO_CONFIG))
		return;
	if (!is_config) {
		memcpy(&value, data, sizeof value);
		if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
			(void)__atomic_fetch_and(&device->interrupt_status, ~value,
						 __ATOMIC_SEQ_CST);
			(void)__atomic_add_fetch(&device->acknowledged, 1, __ATOMIC_RELAXED);
			return;
		}
		if (offset == VIRTIO_MMIO_QUEUE_NOTIFY) {
			if (value < device->type->queue_count)
				(void)sys_eventfd_signal(device->kick_fds[value]);
			return;
		}
	}
	(void)pthread_mutex_lock(&mmio->lock);
	if (is_config)
		write_config(mmio, offset, data, size);
	else
		write_register(mmio, offset, value);
	(void)pthread_mutex_unlock(&mmio->lock);
}

unsigned virtio_mmio_queue_count(const struct virtio_mmio *mmio)
{
	return mmio->device->type->queue_count;
}

int virtio_mmio_kick_fd(const struct virtio_mmio *mmio, unsigned queue)
{
	return mmio->device->kick_fds[queue];
}

struct virtio_device *virtio_mmio_device(const struct virtio_mmio *mmio)
{
	return mmio->device;
}

bool virtio_mmio_is_watching(const struct virtio_mmio *mmio, unsigned queue)
{
	return io_is_busy(&mmio->kicks[queue].op);
}

const char *virtio_mmio_name(const struct virtio_mmio *mmio)
{
	return mmio->device->type->name;
}

static void close_kicks(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->type->queue_count; i++)
		close_fd(&device->kick_fds[i]);
}

static int open_kicks(struct virtio_mmio *mmio, struct virtio_device *device)
{
	int r = 0;

	for (unsigned i = 0; i < device->type->queue_count; i++) {
		device->kick_fds[i] = sys_eventfd();
		if (device->kick_fds[i] < 0)
			r = device->kick_fds[i];
		mmio->kicks[i] = (struct kick){ .mmio = mmio, .queue = i };
	}
	return r;
}

int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **out)
{
	struct virtio_device *device = config->device;
	struct virtio_mmio *mmio = calloc(1, sizeof *mmio);
	int r;

	if (!mmio)
		return -ENOMEM;
	r = open_kicks(mmio, device);
	if (r < 0) {
		close_kicks(device);
		free(mmio);
		return r;
	}
	device->mem = config->mem;
	device->io = config->io;
	device->irq_fd = config->irq_fd;
	mmio->device = device;
	mmio->io = config->io;
	mmio->is_hidden = config->late;
	(void)pthread_mutex_init(&mmio->lock, NULL);
	*out = mmio;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	if (!mmio)
		return;
	virtio_mmio_quiesce(mmio);
	close_kicks(mmio->device);
	virtio_device_destroy(mmio->device);
	(void)pthread_mutex_destroy(&mmio->lock);
	free(mmio);
}
