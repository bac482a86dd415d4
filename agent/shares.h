#pragma once
#include "agent/message.h"
#include "agent/mounts.h"
#include "agent/paths.h"
#include "base/error.h"

/* Mounts a shared folder (source: its tag) or, with a tag that was not mounted by itself, one file
 * of a share (source: TAG/NAME). Gives a detached mount; *kind is what it goes on. */
int shares_mount(const message_mount *mount, enum paths_kind *kind, struct error *err);
