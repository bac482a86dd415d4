#pragma once
#include "vmm/control.h"
#include "vmm/spawn.h"

/* Shared by the runtime's side of a VMM process; nobody else includes it.
 *   process.c   its start, its events and its end
 *   question.c  what it is asked while it runs */
enum { MAX_BOUND = 1024 };

struct event_node {
	struct event_node *next;
	struct vmm_event event;
};

struct vmm {
	struct spawned child, shares; /* shares: katavm-fs, where there are any */
	int socket, kvm_fd;
	bool ended;                 /* VMM_EVENT_ENDED was given out */
	struct event_node *waiting; /* came while an answer was waited for; oldest first */
	size_t bound_count;
	uint32_t bound[MAX_BOUND]; /* not connected to yet */
};

/* To a question that was given up: a VMM may stand still for longer than anybody waits. */
bool question_is_late_answer(enum control_kind kind);
