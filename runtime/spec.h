#pragma once
#include "agent/protocol/agent.pb-c.h"
#include "runtime/image/image.h"
#include "runtime/net/net.h"
#include "runtime/run_config.h"
#include "runtime/shares.h"
#include "runtime/syscall_filter.h"

/* From what the user and the image say to what the agent is told. */

enum spec_port { /* of the host, that the agent connects to */
		 SPEC_PORT_CONTROL = 1024,
		 SPEC_PORT_STDIN = 2048,
		 SPEC_PORT_STDOUT,
		 SPEC_PORT_STDERR,
};

struct spec_input {
	const struct run_config *config;
	const struct image_config *image;
	size_t layer_count;
	const struct shares *shares;  /* NULL: not opened */
	const struct net *net;        /* or NULL: none */
	unsigned short rows, columns; /* of the caller's terminal */
};

/* The serial numbers by which the guest knows its disks. */
#define SPEC_SCRATCH_SERIAL "scratch"
void spec_layer_serial(size_t index, char out[16]);

/* The message lives in arena and points into config and image. */
int spec_make(const struct spec_input *input, struct arena *arena,
	      Katavm__Agent__V1__CreateContainerRequest **out, struct error *err);

/* The signal that means "stop" to this container. */
int spec_stop_signal(const struct run_config *config, const struct image_config *image);
