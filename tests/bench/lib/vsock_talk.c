/*
 * Both ends of ./dev bench vsock:
 *   vsock_talk client      in the guest: connects to the host's ports, prints "talk NAME VALUE"
 *   vsock_talk unix PATH   on the host: serves a Unix socket; prints "ready"
 *   vsock_talk vsock       on the host: serves the same ports as the client connects to
 * The first byte of a connection says what it is for: 'e' what comes goes back, 's' all is read
 * until the end and one byte is the receipt, 'g' AMOUNT bytes are sent.
 */
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_PORT = 1024, PORTS = 4, TRIPS = 400, WARM = 50, PIECE = 65536, AMOUNT = 48 << 20 };

static char bytes[PIECE];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void send_all(int fd, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t piece = size - done < PIECE ? size - done : PIECE;
		ssize_t n = write(fd, bytes, piece);

		if (n <= 0)
			die("write");
		done += (size_t)n;
	}
}

static size_t read_to_end(int fd)
{
	size_t sum = 0;
	ssize_t n;

	while ((n = read(fd, bytes, PIECE)) > 0)
		sum += (size_t)n;
	return sum;
}

/* ---- host ---- */

static void serve(int fd)
{
	char kind;
	ssize_t n;

	if (read(fd, &kind, 1) != 1)
		_exit(0);
	if (kind == 'e')
		while ((n = read(fd, bytes, PIECE)) > 0 && write(fd, bytes, (size_t)n) == n)
			;
	else if (kind == 's' && read_to_end(fd) == AMOUNT)
		(void)!write(fd, &kind, 1);
	else if (kind == 'g')
		send_all(fd, AMOUNT);
	_exit(0);
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		if (fork() == 0)
			serve(fd);
		(void)close(fd);
	}
}

static void serve_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, PORTS) < 0)
		die(path);
	(void)puts("ready");
	(void)fflush(stdout);
	accept_all(fd);
}

static void serve_vsock(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
						     .svm_cid = VMADDR_CID_ANY,
						     .svm_port = FIRST_PORT + i };
		int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

		if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
		    listen(fd, PORTS) < 0)
			die("AF_VSOCK");
		if (i < PORTS - 1 && fork() == 0)
			accept_all(fd);
		if (i == PORTS - 1) {
			(void)puts("ready");
			(void)fflush(stdout);
			accept_all(fd);
		}
	}
}

/* ---- guest ---- */

static int open_talk(unsigned index, char kind)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = FIRST_PORT + index };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)&host, sizeof host) < 0)
		die("connect");
	if (write(fd, &kind, 1) != 1)
		die("write");
	return fd;
}

static void trips(int fd, unsigned count, size_t size)
{
	for (unsigned i = 0; i < count; i++) {
		if (write(fd, bytes, size) != (ssize_t)size)
			die("write");
		for (size_t done = 0; done < size;) {
			ssize_t n = read(fd, bytes, size - done);

			if (n <= 0)
				die("read");
			done += (size_t)n;
		}
	}
}

static void mark(const char *name)
{
	(void)printf("mark %s\n", name);
	(void)fflush(stdout);
	(void)usleep(200000); /* whoever looks has time for it */
}

static void round_trips(unsigned index, size_t size, const char *name)
{
	int fd = open_talk(index, 'e');
	double start;

	trips(fd, WARM, size);
	mark(size == 1 ? "trips-begin" : "large-begin");
	start = now_ns();
	trips(fd, TRIPS, size);
	start = now_ns() - start;
	mark(size == 1 ? "trips-end" : "large-end");
	(void)printf("talk %s %.0f\n", name, start / TRIPS);
	(void)close(fd);
}

static void client(void)
{
	double start;
	char receipt;
	int fd;

	round_trips(0, 1, "round-trip-1");
	round_trips(1, 4096, "round-trip-4096");
	fd = open_talk(2, 's');
	start = now_ns();
	send_all(fd, AMOUNT);
	if (shutdown(fd, SHUT_WR) < 0 || read(fd, &receipt, 1) != 1)
		die("no receipt");
	(void)printf("talk to-host %.2f\n", AMOUNT / 1048576.0 / ((now_ns() - start) / 1e9));
	(void)close(fd);
	fd = open_talk(3, 'g');
	start = now_ns();
	if (read_to_end(fd) != AMOUNT)
		die("bytes are missing");
	(void)printf("talk to-guest %.2f\n", AMOUNT / 1048576.0 / ((now_ns() - start) / 1e9));
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "client") == 0)
		client();
	else if (argc == 3 && strcmp(argv[1], "unix") == 0)
		serve_unix(argv[2]);
	else if (argc == 2 && strcmp(argv[1], "vsock") == 0)
		serve_vsock();
	else
		return 2;
	return 0;
}
