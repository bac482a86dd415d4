#include "agent/sysctl.h"

#include "agent/kernel.h"
#include "agent/paths.h"
#include "base/own.h"
#include "base/sys.h"
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 256 };

/* net.ipv4.ip_forward is net/ipv4/ip_forward. A name with slashes has dots inside its parts
 * (net/ipv4/conf/eth0.1/forwarding) and is a path already. */
static int set_one(int proc, const message_sysctl *sysctl)
{
	char path[PATH_SIZE];
	int size = snprintf(path, sizeof path, "sys/%s", sysctl->name);

	if (size < 0 || (size_t)size >= sizeof path)
		return -ENAMETOOLONG;
	if (!strchr(sysctl->name, '/'))
		for (char *at = path; *at; at++)
			if (*at == '.')
				*at = '/';
	return paths_set(proc, path, sysctl->value);
}

int sysctl_set(message_sysctl *const *sysctls, size_t count, struct error *err)
{
	own_fd proc = -1;

	if (count == 0)
		return 0;
	proc = kernel_mount_detached("proc", 0);
	if (proc < 0)
		return error_set(err, proc, "mount proc for sysctls: %s", sys_text(proc));
	for (size_t i = 0; i < count; i++) {
		int r = set_one(proc, sysctls[i]);

		if (r < 0)
			return error_set(err, r, "sysctl %s=%s: %s", sysctls[i]->name,
					 sysctls[i]->value, sys_text(r));
	}
	return 0;
}
