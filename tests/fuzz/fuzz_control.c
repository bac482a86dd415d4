/* First byte: how many descriptors came along. The rest: a packet. */
#include "base/check.h"
#include "vmm/control.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[PACKET_MAX_FDS] = { 0 }, kvm_fd;
	struct control_message message;
	struct vmm_config config;

	if (size == 0 || control_parse(data + 1, size - 1, data[0], &message) < 0)
		return 0;
	if (message.kind == CONTROL_START) {
		CHECK(data[0] <= PACKET_MAX_FDS);
		control_unpack_config(&message.body.start, fds, &kvm_fd, &config);
		CHECK(config.disk_count <= VMM_MAX_DISKS);
		CHECK(strnlen(config.cmdline, sizeof config.cmdline) < sizeof config.cmdline);
	}
	return 0;
}
