#include "agent/sandbox.h"

#include "agent/container.h"
#include "agent/kernel.h"
#include "agent/network.h"
#include "agent/sysctl.h"
#include "base/container_of.h"
#include "base/own.h"
#include "base/sys.h"
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	NS_PER_S = 1000000000,
	CLOCK_TOLERANCE_NS = 5000000, /* the hypervisor's clock is as good; setting has a price */
	SLEW_LIMIT_NS = 200000000,
	ENTROPY_LIMIT = 512,
	KILL_LIMIT_MS = 3000, /* a process that cannot die does not keep the guest */
	LINGER_MS = 200,      /* for the answer to leave the guest */
};

/* The kernel makes up for it at half a millisecond a second: no clock that a program reads jumps.
 */
static int slew(int64_t off_ns)
{
	const int64_t correction_us = -off_ns / 1000;
	const struct timeval delta = { .tv_sec = correction_us / 1000000,
				       .tv_usec = correction_us % 1000000 };

	return (int)SYS(adjtime, &delta, NULL);
}

int sandbox_set_time(uint64_t realtime_ns, bool smooth)
{
	struct timespec now, wanted = { .tv_sec = (time_t)(realtime_ns / NS_PER_S),
					.tv_nsec = (long)(realtime_ns % NS_PER_S) };
	int64_t off;

	if (realtime_ns == 0 || realtime_ns > INT64_MAX)
		return realtime_ns ? -EINVAL : 0;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	off = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec - (int64_t)realtime_ns;
	if (off < CLOCK_TOLERANCE_NS && off > -CLOCK_TOLERANCE_NS)
		return 0;
	if (smooth && off < SLEW_LIMIT_NS && off > -SLEW_LIMIT_NS)
		return slew(off);
	return (int)SYS(clock_settime, CLOCK_REALTIME, &wanted);
}

int sandbox_add_entropy(const void *bytes, size_t size)
{
	struct {
		struct rand_pool_info info;
		uint8_t bytes[ENTROPY_LIMIT];
	} pool;
	own_fd fd = -1;
	int r;

	if (size == 0)
		return 0;
	if (size > ENTROPY_LIMIT)
		size = ENTROPY_LIMIT;
	r = (int)SYS(mknod, "/random", S_IFCHR | 0600, makedev(1, 8));
	if (r < 0 && r != -EEXIST)
		return r;
	fd = (int)SYS(open, "/random", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fd;
	pool.info.entropy_count = (int)size * 8;
	pool.info.buf_size = (int)size;
	memcpy((uint8_t *)&pool + offsetof(struct rand_pool_info, buf), bytes, size);
	r = sys_ioctl(fd, RNDADDENTROPY, &pool);
	explicit_bzero(&pool, sizeof pool);
	return r;
}

int sandbox_set_up(const message_sandbox *message, struct error *err)
{
	int r = sandbox_set_time(message->realtime_ns, false);

	if (r < 0)
		return error_set(err, r, "set the clock: %s", sys_text(r));
	r = sandbox_add_entropy(message->entropy.data, message->entropy.len);
	if (r < 0)
		return error_set(err, r, "add entropy: %s", sys_text(r));
	if (*message->hostname)
		r = (int)SYS(sethostname, message->hostname, strlen(message->hostname));
	if (r < 0)
		return error_set(err, r, "set the host name: %s", sys_text(r));
	r = network_raise_loopback();
	if (r < 0)
		return error_set(err, r, "raise the loopback interface: %s", sys_text(r));
	r = sysctl_set(message->sysctls, message->n_sysctls, err);
	return r < 0 ? r : network_set_up(message->interfaces, message->n_interfaces, err);
}

_Noreturn void sandbox_power_off(bool reboot_wanted)
{
	sync();
	(void)SYS(reboot, reboot_wanted ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		(void)pause(); /* PID 1 must not return: the kernel would call it a panic */
}

static void on_lingered(struct timer *timer)
{
	const struct agent *agent = container_of(timer, struct agent, shut_down_timer);

	sandbox_power_off(agent->reboot);
}

/* The host usually closes the connection when it has the answer, which ends the guest at once. */
static void end(struct agent *agent)
{
	struct ttrpc_call *call = take_ptr(agent->shut_down);
	Katavm__Agent__V1__Empty empty;

	katavm__agent__v1__empty__init(&empty);
	sync();
	ttrpc_answer(call, &empty.base);
	agent->shut_down_timer.expired = on_lingered;
	loop_set_timer(&agent->loop, &agent->shut_down_timer, LINGER_MS);
}

static void on_kill_limit(struct timer *timer)
{
	end(container_of(timer, struct agent, shut_down_timer));
}

void sandbox_process_ended(struct agent *agent)
{
	if (agent->shut_down && !container_any_alive(agent)) {
		loop_stop_timer(&agent->loop, &agent->shut_down_timer);
		end(agent);
	}
}

void sandbox_shut_down(struct agent *agent, struct ttrpc_call *call, bool reboot_wanted)
{
	if (agent->shut_down) {
		ttrpc_refuse(call, TTRPC_FAILED_PRECONDITION, "the sandbox is being shut down");
		return;
	}
	agent->shut_down = call;
	agent->reboot = reboot_wanted;
	agent->shut_down_timer.expired = on_kill_limit;
	loop_set_timer(&agent->loop, &agent->shut_down_timer, KILL_LIMIT_MS);
	container_kill_all(agent);
	sandbox_process_ended(agent);
}
