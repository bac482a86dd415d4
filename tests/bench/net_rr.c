/* Round trips of one byte over TCP, for ./dev bench net.
 *   net_rr serve ADDRESS PORT            answers each byte with itself, until killed
 *   net_rr ask ADDRESS PORT COUNT        prints the mean time of a round trip in nanoseconds */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int serve(int listener)
{
	const int on = 1;
	char byte;

	for (;;) {
		int peer = accept(listener, NULL, NULL);

		if (peer < 0)
			return fail("accept");
		(void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		while (read(peer, &byte, 1) == 1)
			if (write(peer, &byte, 1) != 1)
				break;
		(void)close(peer);
	}
}

static unsigned long long now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000U + (unsigned long long)now.tv_nsec;
}

static int ask(int fd, long count)
{
	unsigned long long start = 0;
	char byte = 'x';

	for (long i = -100; i < count; i++) { /* the first hundred are not counted */
		if (i == 0)
			start = now_ns();
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			return fail("round trip");
	}
	(void)printf("rr %llu\n", (now_ns() - start) / (unsigned long long)count);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const int on = 1;

	if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		return 2;
	address.sin_port = htons((unsigned short)atoi(argv[3]));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (strcmp(argv[1], "serve") == 0) {
		if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0)
			return fail("listen");
		return serve(fd);
	}
	if (argc != 5 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return fail("connect");
	return ask(fd, atol(argv[4]));
}
