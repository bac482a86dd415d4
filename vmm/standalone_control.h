#pragma once
#include "base/error.h"
#include "vmm/vmm.h"

/* The socket of `katavm vmm`'s "control": one line of a command a connection, answered and closed.
 *     stats                      a JSON object a line for each device
 *     resize SERIAL              "ok BYTES"
 *     add SERIAL PATH [readonly] "ok SLOT"
 *     remove SERIAL              "ok 0"
 * or "error: " and a sentence. The other end is the user's: the socket's mode is 0600. */

/* The listening socket, or -errno. */
int standalone_control_open(const char *path, struct error *err);
/* Serves one connection; blocks for as long as its command takes, two seconds for the command to
 * come. */
void standalone_control_serve(struct vmm *vmm, int listen_fd);
