// SPDX-License-Identifier: MIT
// usurp: what any local user can do: registers with iw_cm as the port mapper, and hears what the kernel then sends.
//
//   usurp SECONDS               as user 65534; prints how many requests came
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct { struct nlmsghdr header; struct nlattr attribute; uint16_t abi, padding; } hello = {
		{ sizeof hello, RDMA_NL_GET_TYPE(RDMA_NL_IWCM, RDMA_NL_IWPM_HELLO), NLM_F_REQUEST, 1, 0 },
		{ NLA_HDRLEN + sizeof(uint16_t), IWPM_NLA_HELLO_ABI_VERSION }, 4, 0,
	};
	struct sockaddr_nl own = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof own;
	struct timeval patience = { .tv_usec = 100000 };
	time_t end = time(NULL) + (count > 1 ? atoi(words[1]) : 1);
	union { struct nlmsghdr header; char bytes[4096]; } message;
	int requests = 0, fd;

	if (setuid(65534) != 0 || (fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_RDMA)) < 0 ||
		bind(fd, (struct sockaddr *)&own, sizeof own) != 0 || getsockname(fd, (struct sockaddr *)&own, &size) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
		perror("usurp");
		return 2;
	}
	hello.header.nlmsg_pid = own.nl_pid;
	if (send(fd, &hello, sizeof hello, 0) != sizeof hello) {
		perror("usurp: send");
		return 1;
	}
	while (time(NULL) < end)
		if (recv(fd, &message, sizeof message, 0) > 0 && message.header.nlmsg_type != NLMSG_DONE &&
			RDMA_NL_GET_OP(message.header.nlmsg_type) != RDMA_NL_IWPM_HELLO)
			requests++;
	printf("%d requests\n", requests);
	return 0;
}
