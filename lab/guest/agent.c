// SPDX-License-Identifier: MIT
// agent: runs the shell commands that the machine outside sends. A connection is one command:
//   "SECONDS LENGTH\n" and LENGTH bytes in; the command's output and then a line "#exit STATUS" out.
// The status is 124 when the command was killed because its time was over.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int run(const char *command, int seconds, int fd)
{
	struct timespec limit = { .tv_sec = seconds };
	sigset_t child_ended;
	int status = 0, ended;
	pid_t child;

	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_ended, NULL);
	child = fork();
	if (!child) {
		sigprocmask(SIG_UNBLOCK, &child_ended, NULL);
		setsid();
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	// systemd stops and continues every process at a soft reboot, survivors included.
	while ((ended = sigtimedwait(&child_ended, NULL, &limit)) < 0 && errno == EINTR)
		;
	if (ended < 0) {
		kill(-child, SIGKILL);
		return 124;
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void serve(int fd)
{
	FILE *in = fdopen(dup(fd), "r");
	int seconds, status;
	size_t size;
	char *command;

	if (!in || fscanf(in, "%d %zu", &seconds, &size) != 2 || fgetc(in) != '\n' || size > 1 << 20)
		return;
	command = calloc(1, size + 1);
	if (!command || fread(command, 1, size, in) != size)
		return;
	fclose(in);
	status = run(command, seconds, fd);
	dprintf(fd, "\n#exit %d\n", status);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 22) };
	int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 64)) {
		perror("agent");
		return 1;
	}
	// From here on a connection is accepted: the caller may go on.
	if (daemon(1, 1))
		return 1;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (!fork()) {
			signal(SIGCHLD, SIG_DFL);
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
}
