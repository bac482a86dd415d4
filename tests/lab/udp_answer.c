/* udp_answer PORT: answers every packet with "udp answer", inside a guest. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	address.sin6_port = htons(argc > 1 ? (unsigned short)atoi(argv[1]) : 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return 1;
	for (;;) {
		struct sockaddr_in6 from;
		socklen_t size = sizeof from;
		char byte;

		if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) >= 0)
			(void)sendto(fd, "udp answer\n", 11, 0, (struct sockaddr *)&from, size);
	}
}
