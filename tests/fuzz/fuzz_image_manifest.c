/* The first byte says what the rest is read as. */
#include "runtime/image/config.h"
#include "runtime/image/manifest.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err;

	if (size == 0)
		return 0;
	if (data[0] == 'c') {
		struct config config;

		if (config_parse((const char *)data + 1, size - 1, "x", &config, &err) == 0)
			config_finish(&config);
	} else {
		struct platform platform;
		const struct manifest_entry *entry;
		struct manifest manifest;

		if (manifest_parse((const char *)data + 1, size - 1, NULL, "x", &manifest, &err) <
		    0)
			return 0;
		platform_set(&platform, "linux", "amd64", NULL);
		(void)manifest_select(&manifest, &platform, "x", &entry, &err);
		manifest_finish(&manifest);
	}
	return 0;
}
