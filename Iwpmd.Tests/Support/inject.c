// SPDX-License-Identifier: MIT
/*
 * Lets the first thread of another process, which must be waiting in a system call, make another one: what a
 * forbidden call does to a program that never makes it. Prints what it returned, or "killed" and the signal when
 * the process did not survive it.
 *
 *   inject PID CALL [ARGUMENT...]     CALL is a number; an argument is a number, or a text that is put on the stack.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define BELOW_STACK 4096 /* out of everybody's way */

static void die(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long put(pid_t pid, unsigned long long at, const char *text)
{
	size_t size = strlen(text) + 1;

	for (size_t i = 0; i < size; i += sizeof(long)) {
		long word = 0;

		memcpy(&word, text + i, size - i < sizeof word ? size - i : sizeof word);
		if (ptrace(PTRACE_POKEDATA, pid, at + i, word) != 0)
			die("poke");
	}
	return at;
}

int main(int count, char **words)
{
	struct user_regs_struct before, call;
	unsigned long long values[6] = { 0 };
	pid_t pid = count > 2 ? atoi(words[1]) : 0;
	int status, held = 0;

	if (pid <= 0 || count > 9 || ptrace(PTRACE_SEIZE, pid, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0 ||
		waitpid(pid, &status, __WALL) != pid)
		die("attach");
	if (ptrace(PTRACE_GETREGS, pid, 0, &before) != 0 || (long long)before.orig_rax < 0)
		die("it is not in a system call");
	for (int i = 3; i < count; i++) {
		char *end;

		values[i - 3] = strtoull(words[i], &end, 0);
		if (*end)
			values[i - 3] = put(pid, (before.rsp - BELOW_STACK - 512 * i) & ~7ull, words[i]);
	}
	call = before;
	call.rip -= 2; /* the instruction that made it wait */
	call.orig_rax = -1;
	call.rax = strtoull(words[2], NULL, 0);
	call.rdi = values[0], call.rsi = values[1], call.rdx = values[2], call.r10 = values[3], call.r8 = values[4],
	call.r9 = values[5];
	if (ptrace(PTRACE_SETREGS, pid, 0, &call) != 0)
		die("call");
	do {
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) != 0 || waitpid(pid, &status, __WALL) != pid)
			die("step");
		if (WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP)
			held = WSTOPSIG(status); /* a signal was there before the call */
	} while (WIFSTOPPED(status) && status >> 8 != SIGTRAP);
	if (WIFSIGNALED(status)) {
		printf("killed %d\n", WTERMSIG(status));
		return 0;
	}
	if (WIFEXITED(status) || ptrace(PTRACE_GETREGS, pid, 0, &call) != 0)
		die("result");
	printf("%lld\n", (long long)call.rax);
	if (ptrace(PTRACE_SETREGS, pid, 0, &before) != 0 || ptrace(PTRACE_DETACH, pid, 0, held) != 0)
		die("detach");
	return 0;
}
