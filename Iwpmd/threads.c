// SPDX-License-Identifier: MIT
/*
 * Linked into the executable: its first thread, the finalizer's, which the runtime makes before Main, has no
 * CAP_NET_ADMIN from its beginning. Os/NetAdmin.cs says why; from C# the thread is reached by a collection only, which
 * is a fifth of the instructions of a start. --wrap (in Iwpmd.csproj) leads all calls here.
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef OLDER /* as glibc.c takes them */
#ifdef __x86_64__
#define VERSION "2.2.5"
#else
#define VERSION "2.17" /* the first one for arm64 */
#endif
int create_thread(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
__asm__(".symver create_thread,pthread_create@GLIBC_" VERSION);
#else
int create_thread(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) __asm__("__real_pthread_create");
#endif

static void *(*first)(void *);

static void *begin(void *argument)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) == 0) {
		data[0].effective &= ~(1u << CAP_NET_ADMIN);
		data[0].permitted &= ~(1u << CAP_NET_ADMIN);
		data[0].inheritable &= ~(1u << CAP_NET_ADMIN);
		syscall(SYS_capset, &header, data);
	}
	return first(argument);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	if (first)
		return create_thread(thread, attributes, run, argument);
	first = run;
	return create_thread(thread, attributes, begin, argument);
}
