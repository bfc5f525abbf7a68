// SPDX-License-Identifier: MIT
/*
 * Linked into the dynamic executable, so that it starts on glibc 2.28 and later, whatever glibc it is linked with.
 * The linker takes the newest version of a function; each of these has an older one, which does the same, and
 * --wrap (in Iwpmd.csproj) leads all calls here; pthread_create is in threads.c. In glibc before 2.34 the functions of
 * threads and of shared objects are in libraries of their own, which are linked for that.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#ifdef __x86_64__
#define VERSION(version) version
#define JUMP(name) "jmp older_" name "@PLT"
#else
#define VERSION(version) "2.17" /* the first one for arm64 */
#define JUMP(name) "b older_" name
#endif

#define SINCE(version, name) \
	__asm__(".symver older_" name "," name "@GLIBC_" VERSION(version)); \
	__asm__(".text\n.globl __wrap_" name "\n.type __wrap_" name ",%function\n__wrap_" name ":\n\t" JUMP(name));

SINCE("2.2.5", "dladdr")
SINCE("2.2.5", "dlclose")
SINCE("2.2.5", "dlerror")
SINCE("2.2.5", "dlopen")
SINCE("2.2.5", "dlsym")
SINCE("2.2.5", "log")
SINCE("2.2.5", "pow")
SINCE("2.2.5", "pthread_attr_getstack")
SINCE("2.2.5", "pthread_attr_setstacksize")
SINCE("2.3.3", "pthread_condattr_setclock")
SINCE("2.2.5", "pthread_detach")
SINCE("2.2.5", "pthread_getattr_np")
SINCE("2.2.5", "pthread_getspecific")
SINCE("2.2.5", "pthread_join")
SINCE("2.2.5", "pthread_key_create")
SINCE("2.2.5", "pthread_key_delete")
SINCE("2.2.5", "pthread_kill")
SINCE("2.2.5", "pthread_mutexattr_destroy")
SINCE("2.2.5", "pthread_mutexattr_init")
SINCE("2.2.5", "pthread_mutexattr_settype")
SINCE("2.2.5", "pthread_once")
SINCE("2.2.5", "pthread_rwlock_rdlock")
SINCE("2.2.5", "pthread_rwlock_unlock")
SINCE("2.2.5", "pthread_rwlock_wrlock")
SINCE("2.12", "pthread_setname_np")
SINCE("2.2.5", "pthread_setspecific")
SINCE("2.2.5", "pthread_sigmask")

/* The start file of glibc 2.34 and later leaves the initializers of the program to this function, the older version
 * to the program. */
typedef void initializer(int, char **, char **);

extern initializer *__init_array_start[], *__init_array_end[];
extern void _init(void);
int older_start(int (*)(int, char **, char **), int, char **, initializer *, void (*)(void), void (*)(void), void *);
__asm__(".symver older_start,__libc_start_main@GLIBC_" VERSION("2.2.5"));

static void initialize(int count, char **words, char **environment)
{
	_init();
	for (initializer **one = __init_array_start; one != __init_array_end; one++)
		(*one)(count, words, environment);
}

/*
 * When it starts the runtime unpacks its data into nearly all of .bss and .hydrated: all pages at once cost less than a
 * page fault for each. Kernels before 5.14 do not know the request, and nothing is lost.
 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

extern char __bss_start[], _end[];

static void populate(void)
{
	uintptr_t page = getauxval(AT_PAGESZ), start = (uintptr_t)__bss_start & -page;

	madvise((void *)start, (uintptr_t)_end - start, MADV_POPULATE_WRITE);
}

int __wrap___libc_start_main(int (*main)(int, char **, char **), int count, char **words, initializer *init,
	void (*fini)(void), void (*end)(void), void *stack)
{
	populate();
	return older_start(main, count, words, init ? init : initialize, fini, end, stack);
}
