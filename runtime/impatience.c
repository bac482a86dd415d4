#include "runtime/impatience.h"

#include <signal.h>

enum { LIMIT = 3 };

static const uint64_t AGAIN_NS = UINT64_C(5000000000);

bool impatience_is_over(struct impatience *impatience, int number, uint64_t now_ns)
{
	if (number == SIGTERM)
		return ++impatience->requests >= LIMIT;
	if (number != SIGINT)
		return false;
	if (now_ns - impatience->interrupted_ns > AGAIN_NS)
		impatience->interrupts = 0;
	impatience->interrupted_ns = now_ns;
	return ++impatience->interrupts >= LIMIT;
}
