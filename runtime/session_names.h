#pragma once
#include "runtime/session.h"

/* The container's network has something to tell (net.h). When somebody came to it, or left it, the
 * container's /etc/hosts says so, once it has started; where the container cannot be written to it
 * stays as it was. True: it has not been written yet, which is given back as pending next time. */
bool session_watch_network(const struct session_input *input, bool pending, bool started,
			   void (*say)(void *context, const char *sentence), void *context);
