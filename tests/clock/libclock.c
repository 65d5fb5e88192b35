// SPDX-License-Identifier: Apache-2.0
/*
 * A wall clock that steps, for one program: preloaded, it adds to the real time what the file that TEST_CLOCK names
 * holds (ns, eight bytes as the machine has them), which a test rewrites while the program runs. Clocks that do
 * not step (monotonic, since boot) are left as they are.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	/* A program with another clock than the test believes would show nothing. */
	if (p == MAP_FAILED)
		abort();
	close(fd);
	offset = p;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t ns;

	if (syscall(SYS_clock_gettime, clock, t))
		return -1;
	if ((clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) || !offset)
		return 0;
	ns = t->tv_sec * SECOND_NS + t->tv_nsec + *offset;
	t->tv_sec = ns / SECOND_NS;
	t->tv_nsec = ns % SECOND_NS;
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}
