/* The JSON file of `katavm vmm --config`. */
#include "base/check.h"
#include "vmm/config_json.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_json config;
	struct error err;

	if (config_json_parse((const char *)data, size, &config, &err) == 0)
		CHECK(config.kernel[0] && config.vcpus >= 1 && config.vcpus <= VMM_MAX_VCPUS &&
		      config.disk_count <= VMM_MAX_DISKS);
	return 0;
}
