/*
 * What is left of a PC's I/O ports. The guest kernel writes how it ends to port 0x600 and, for a
 * panic, a sentence to 0x601 before (guest-kernel/README.md). A transmit-only 16450 at 0x3f8 serves
 * kernels built with the debug fragment. Reads elsewhere answer 0: a keyboard controller that is
 * ready (port 0x64), which a kernel may wait for, and devices that are not there.
 */
#include "arch/arch.h"

#include <string.h>

enum {
	PORT_END = 0x600,
	PORT_PANIC_TEXT = 0x601,
	PORT_SERIAL = 0x3f8,
	PORT_SERIAL_END = 0x400,
	END_POWER_OFF = 1,
	END_REBOOT = 2,
	END_PANIC = 3,
	END_HALT = 4,
	SERIAL_DATA = 0,
	SERIAL_INTERRUPT_ID = 2,
	SERIAL_LINE_CONTROL = 3,
	SERIAL_LINE_STATUS = 5,
	SERIAL_MODEM_STATUS = 6,
	LINE_CONTROL_DIVISOR = 0x80,
	LINE_STATUS_IDLE = 0x60, /* transmitter empty */
	INTERRUPT_ID_NONE = 1,
	MODEM_STATUS_READY = 0xb0,
};

static enum arch_verdict handle_end(uint8_t how)
{
	switch (how) {
	case END_POWER_OFF:
	case END_HALT:
		return ARCH_SHUTDOWN;
	case END_REBOOT:
		return ARCH_REBOOT;
	case END_PANIC:
		return ARCH_PANIC;
	default:
		return ARCH_RESUME;
	}
}

static void keep_panic_text(struct arch_platform *platform, const uint8_t *bytes, size_t size)
{
	size_t room = sizeof platform->panic_text - platform->panic_size;
	size_t kept = size < room ? size : room;

	memcpy(platform->panic_text + platform->panic_size, bytes, kept);
	platform->panic_size += kept;
}

static void serial_write(struct arch_platform *platform, unsigned reg, const uint8_t *bytes,
			 size_t size)
{
	if (reg == SERIAL_DATA &&
	    !(platform->serial_registers[SERIAL_LINE_CONTROL] & LINE_CONTROL_DIVISOR))
		platform->output(platform->context, bytes, size);
	else if (size > 0)
		platform->serial_registers[reg] = bytes[size - 1];
}

static uint8_t serial_read(const struct arch_platform *platform, unsigned reg)
{
	switch (reg) {
	case SERIAL_INTERRUPT_ID:
		return INTERRUPT_ID_NONE;
	case SERIAL_LINE_STATUS:
		return LINE_STATUS_IDLE;
	case SERIAL_MODEM_STATUS:
		return MODEM_STATUS_READY;
	default:
		return platform->serial_registers[reg];
	}
}

static bool is_serial(const struct arch_platform *platform, uint16_t port)
{
	return platform->output && port >= PORT_SERIAL && port < PORT_SERIAL_END;
}

static enum arch_verdict handle_out(struct arch_platform *platform, uint16_t port,
				    const uint8_t *bytes, size_t size)
{
	if (port == PORT_END && size > 0)
		return handle_end(bytes[0]);
	if (port == PORT_PANIC_TEXT)
		keep_panic_text(platform, bytes, size);
	else if (is_serial(platform, port))
		serial_write(platform, (unsigned)(port - PORT_SERIAL), bytes, size);
	return ARCH_RESUME;
}

static void handle_in(const struct arch_platform *platform, uint16_t port, uint8_t *bytes,
		      size_t size)
{
	memset(bytes, 0, size);
	if (is_serial(platform, port) && size > 0)
		bytes[0] = serial_read(platform, (unsigned)(port - PORT_SERIAL));
}

enum arch_verdict arch_handle_exit(struct arch_platform *platform, struct kvm_run *run)
{
	size_t size;
	uint8_t *bytes;

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		return ARCH_TRIPLE_FAULT;
	case KVM_EXIT_IO: /* the data lies in the page behind, put there by KVM */
		size = (size_t)run->io.size * run->io.count;
		bytes = (uint8_t *)run + run->io.data_offset;
		if (run->io.direction == KVM_EXIT_IO_OUT)
			return handle_out(platform, run->io.port, bytes, size);
		handle_in(platform, run->io.port, bytes, size);
		return ARCH_RESUME;
	default:
		return ARCH_UNKNOWN;
	}
}
