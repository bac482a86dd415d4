/* The head of a packet that a guest sent and the host's packet filter denied. */
#include "runtime/net/denials.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct denial denial;
	char text[IP_TEXT_SIZE];

	if (denial_parse(data, size, &denial) &&
	    (denial.destination.size == 0 || *ip_print(&denial.destination, text) == '\0'))
		abort();
	return 0;
}
