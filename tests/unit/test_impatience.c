#include "runtime/impatience.h"
#include <criterion/criterion.h>
#include <signal.h>

static const uint64_t SECOND = UINT64_C(1000000000);

Test(impatience, the_third_request_to_stop)
{
	struct impatience impatience = { 0 };

	cr_assert_not(impatience_is_over(&impatience, SIGTERM, 1 * SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGTERM, 5000 * SECOND));
	cr_assert(impatience_is_over(&impatience, SIGTERM, 900000 * SECOND));
}

Test(impatience, interrupts_count_while_they_follow_each_other)
{
	struct impatience impatience = { 0 };

	for (uint64_t i = 1; i < 20; i++)
		cr_assert_not(impatience_is_over(&impatience, SIGINT, i * 6 * SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGINT, 1001 * SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGINT, 1006 * SECOND));
	cr_assert(impatience_is_over(&impatience, SIGINT, 1011 * SECOND));
}

Test(impatience, other_signals_are_the_process_own)
{
	static const int others[] = { SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPWR };
	struct impatience impatience = { 0 };

	for (unsigned i = 0; i < 100; i++)
		cr_assert_not(impatience_is_over(&impatience, others[i % 6], SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGTERM, SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGINT, SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGINT, SECOND));
	cr_assert_not(impatience_is_over(&impatience, SIGTERM, SECOND));
	cr_assert(impatience_is_over(&impatience, SIGTERM, SECOND));
}
