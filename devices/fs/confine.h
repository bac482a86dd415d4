#pragma once
#include "base/error.h"
#include <stdbool.h>

/*
 * What the share server gives up before it serves: every capability but those that files of other
 * users need, the way to new ones, supplementary groups, being looked at by a debugger. It keeps
 * its user, its network and its view of the file system: namespaces and a seccomp filter are the
 * next step and come in at this one place; the calls it makes are listed in confine.c.
 */
int fs_confine(bool writes, struct error *err);
