#pragma once
#include "runtime/net/forward.h"

#include <stdint.h>
#include <sys/socket.h>

/* Something the forwarder waits for. */
struct forward_watch {
	int fd, epoll_fd;
	uint32_t events; /* 0: not waited for */
	void (*ready)(struct forward_watch *watch, uint32_t events);
};

/* 0: no more. */
int forward_watch_set(struct forward_watch *watch, uint32_t events);

struct forward_target {
	struct sockaddr_storage address;
	socklen_t size;
};

/* A socket that listens; the loop owns it until the process ends. */
int forward_tcp_add(int epoll_fd, int fd, const struct forward_target *target);
int forward_udp_add(int epoll_fd, int fd, const struct forward_target *target);
