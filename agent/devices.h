#pragma once
#include "agent/agent.h"

/* Devices that hid from the kernel's boot, because most containers end before they matter, are
 * looked for once the containers have been running for a while. */
void devices_look_later(struct agent *agent);

/* Looks for a device in every empty slot. 0, or -errno when there is nothing to look at. */
int devices_look(void);

/* Takes the disk in that virtio-mmio slot from its driver. -ENODEV: there is no disk in it. */
int devices_release(unsigned slot);
