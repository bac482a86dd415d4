#pragma once
#include "agent/protocol/agent.pb-c.h"
#include "runtime/image/image.h"
#include "runtime/net/net.h"
#include "runtime/run_config.h"
#include "runtime/shares.h"

/* The file systems, devices and files every container gets, as Docker's have them. shares: NULL
 * where they have not been opened. */
void spec_mounts_add(const struct run_config *config, const struct image_config *image,
		     const struct shares *shares, struct arena *arena,
		     Katavm__Agent__V1__CreateContainerRequest *request);
void spec_devices_add(const struct run_config *config, struct arena *arena,
		      Katavm__Agent__V1__CreateContainerRequest *request);
/* net: NULL for none. */
void spec_files_add(const struct run_config *config, const struct net *net, struct arena *arena,
		    Katavm__Agent__V1__CreateContainerRequest *request);

/* The content of /etc/hosts, in arena. */
const char *spec_hosts_file(const struct run_config *config, const struct net *net,
			    struct arena *arena);

/* One message of a type made by protobuf-c, in an arena. */
/* NOLINTBEGIN(bugprone-macro-parentheses): the name of a type */
#define spec_new(arena, type, initial)                                                             \
	__extension__({                                                                            \
		type *new_ = arena_alloc((arena), sizeof(type));                                   \
		*new_ = (type)initial;                                                             \
		new_;                                                                              \
	})
/* NOLINTEND(bugprone-macro-parentheses) */
