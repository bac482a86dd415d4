#pragma once
#include "vmm/control.h"
#include "vmm/spawn.h"

/* Shared by the runtime's side of a VMM process; nobody else includes it.
 *   process.c   its start, its events and its end
 *   question.c  what it is asked while it runs */
enum {
	MAX_BOUND = 1024,
	MAX_AWAITED = 2 * VMM_MAX_SPARES,
	/* A bound port is connected to once and closed once, so that a VMM has no more to say. */
	MAX_WAITING = 2 * MAX_BOUND + MAX_AWAITED + 1,
	LATE_ANSWERS_A_TURN = 64,
	ANSWER_LIMIT_MS = 5000,
};

struct event_node {
	struct event_node *next;
	struct vmm_event event;
};

struct awaited {         /* an answer about a disk that nobody waits for */
	uint32_t number; /* of the question; 0: none */
	enum vmm_disk_change change;
	char serial[VMM_SERIAL_SIZE];
};

struct vmm {
	struct spawned child, shares; /* shares: katavm-fs, where there are any */
	int socket, kvm_fd;
	bool ended; /* VMM_EVENT_ENDED was given out */
	bool lost;  /* it sent what no VMM of ours does: its end is what comes behind `waiting` */
	struct event_node *waiting; /* came while an answer was waited for; oldest first */
	unsigned waiting_count;
	int limit_ms;   /* how long an answer is waited for */
	uint32_t asked; /* number of the last question */
	struct awaited awaited[MAX_AWAITED];
	size_t bound_count;
	uint32_t bound[MAX_BOUND]; /* not connected to yet */
};

/* A message that is no event and no answer to what is asked now: a VMM may stand still for longer
 * than anybody waits. 1: *event tells of it. 0: nobody has to know. -EPROTO: no answer at all. */
int question_late_answer(struct vmm *vmm, const struct control_message *message,
			 struct vmm_event *event);
