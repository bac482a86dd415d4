/* Requests to the agent: the first byte chooses the message, the rest is its encoding. What is
 * found valid must be safe to act on, so the options of its mounts are read too. */
#include "agent/mounts.h"
#include "agent/validate.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const message_container *container)
{
	struct mount_options options;
	struct error err;

	if (!container->rootfs || !container->process || container->process->n_args == 0 ||
	    container->rootfs->n_layer_serials == 0)
		abort();
	for (size_t i = 0; i < container->n_mounts; i++)
		(void)mounts_parse(container->mounts[i]->options, container->mounts[i]->n_options,
				   &options, &err);
}

/* The code that acts on them copies these without another look. */
static void look_at_interface(const message_interface *one)
{
	if (one->mac.len != 6)
		abort();
	for (size_t i = 0; i < one->n_addresses; i++)
		if (one->addresses[i]->ip.len != 4 && one->addresses[i]->ip.len != 16)
			abort();
	for (size_t i = 0; i < one->n_routes; i++)
		if (one->routes[i]->destination.len == 0 && one->routes[i]->gateway.len == 0)
			abort();
	for (size_t i = 0; i < one->n_neighbours; i++)
		if (one->neighbours[i]->mac.len != 6)
			abort();
}

static void try_sandbox(const uint8_t *data, size_t size)
{
	message_sandbox *message =
	    katavm__agent__v1__set_up_sandbox_request__unpack(NULL, size, data);
	struct error err;

	if (message && validate_sandbox(message, &err) == 0) {
		for (size_t i = 0; i < message->n_interfaces; i++)
			look_at_interface(message->interfaces[i]);
		for (size_t i = 0; i < message->n_containers; i++)
			look_at(message->containers[i]);
	}
	katavm__agent__v1__set_up_sandbox_request__free_unpacked(message, NULL);
}

static void try_container(const uint8_t *data, size_t size)
{
	message_container *message =
	    katavm__agent__v1__create_container_request__unpack(NULL, size, data);
	struct error err;

	if (message && validate_container(message, &err) == 0)
		look_at(message);
	katavm__agent__v1__create_container_request__free_unpacked(message, NULL);
}

static void try_exec(const uint8_t *data, size_t size)
{
	Katavm__Agent__V1__ExecProcessRequest *message =
	    katavm__agent__v1__exec_process_request__unpack(NULL, size, data);
	struct error err;

	if (message && validate_exec(message, &err) == 0 && message->process->n_args == 0)
		abort();
	katavm__agent__v1__exec_process_request__free_unpacked(message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 3 == 0)
		try_sandbox(data + 1, size - 1);
	else if (data[0] % 3 == 1)
		try_container(data + 1, size - 1);
	else
		try_exec(data + 1, size - 1);
	return 0;
}
