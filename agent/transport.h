#pragma once
#include <stdint.h>

/* A stream to a port of the host: a non-blocking socket on its way to being connected. Poll it for
 * writing, then ask SO_ERROR. */
int transport_connect(uint32_t port);
