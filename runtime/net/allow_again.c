#include "runtime/net/allow_again.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PERIOD_SECONDS = 30, LOOK_SECONDS = 1 /* for the child's end */, PATIENCE_SECONDS = 25 };

struct answer {
	uint32_t index; /* in the list of what is allowed */
	struct ip ip;
};

static int set_timer(int fd, unsigned seconds)
{
	const struct itimerspec once = { .it_value.tv_sec = seconds };

	return (int)SYS(timerfd_settime, fd, 0, &once, NULL);
}

int allow_again_open(const struct allowed *allowed, struct allow_again *out, struct error *err)
{
	int r = 0;

	*out = ALLOW_AGAIN_NONE;
	if (allowed->name_count == 0)
		return 0;
	out->timer_fd = (int)SYS(timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = out->timer_fd < 0 ? out->timer_fd : set_timer(out->timer_fd, PERIOD_SECONDS);
	return r < 0 ? error_set(err, r, "a timer for --allow-host: %s", sys_text(r)) : 0;
}

static void finish_child(struct allow_again *again)
{
	(void)SYS_RETRY(waitpid, again->pid, NULL, 0);
	again->pid = 0;
}

void allow_again_close(struct allow_again *again)
{
	if (again->pid) {
		(void)SYS(kill, again->pid, SIGKILL);
		finish_child(again);
	}
	close_fd(&again->answers_fd);
	close_fd(&again->timer_fd);
}

/* In the child, which may wait for name servers as long as they like, and which has nothing else of
 * its parent's open: not its locks above all. */
_Noreturn static void look_up_all(const struct allowed *allowed, int answers)
{
	struct ip ips[ALLOW_MAX_ADDRESSES];
	struct error err;

	(void)SYS(prctl, PR_SET_PDEATHSIG, SIGKILL);
	if (answers != 3)
		(void)SYS(dup3, answers, 3, O_CLOEXEC);
	(void)SYS(close_range, 4, ~0U, 0);
	(void)signal(SIGALRM, SIG_DFL);
	(void)alarm(PATIENCE_SECONDS);
	for (size_t i = 0; i < allowed->count; i++) {
		int count =
		    allowed->list[i].is_name ? allow_look_up(allowed->list[i].host, ips, &err) : 0;

		for (int j = 0; j < count; j++) {
			const struct answer answer = { .index = (uint32_t)i, .ip = ips[j] };

			(void)SYS_RETRY(write, 3, &answer, sizeof answer);
		}
	}
	_exit(0);
}

static void start_child(struct allow_again *again, const struct allowed *allowed)
{
	own_fd answers = (int)SYS(memfd_create, "addresses", MFD_CLOEXEC);
	pid_t pid = answers < 0 ? -1 : (pid_t)SYS(fork);

	if (pid == 0)
		look_up_all(allowed, answers);
	if (pid < 0)
		return; /* the next period may be better */
	again->pid = pid;
	again->answers_fd = take_fd(&answers);
}

static size_t take_answers(struct allow_again *again, struct allowed *allowed)
{
	struct answer answer;
	size_t added = 0;

	for (off_t at = 0;
	     SYS_RETRY(pread, again->answers_fd, &answer, sizeof answer, at) == (long)sizeof answer;
	     at += (off_t)sizeof answer)
		if (answer.index < allowed->count && (answer.ip.size == 4 || answer.ip.size == 16))
			added += allow_add(allowed, answer.index, &answer.ip);
	close_fd(&again->answers_fd);
	return added;
}

size_t allow_again_process(struct allow_again *again, struct allowed *allowed)
{
	uint64_t expirations;
	size_t added = 0;

	if (SYS_RETRY(read, again->timer_fd, &expirations, sizeof expirations) < 0)
		return 0;
	if (!again->pid) {
		start_child(again, allowed);
	} else if (SYS_RETRY(waitpid, again->pid, NULL, WNOHANG) != 0) {
		again->pid = 0;
		added = take_answers(again, allowed);
	}
	(void)set_timer(again->timer_fd, again->pid ? LOOK_SECONDS : PERIOD_SECONDS);
	return added;
}
