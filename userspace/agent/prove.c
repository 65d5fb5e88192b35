// SPDX-License-Identifier: Apache-2.0
/* The caller's side of a proof: makes the child, waits for its answer no longer
 * than allowed, and checks the answer as it would a stranger's. */
#include "prove.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "prove_internal.h"

#define LIB_FD 3
#define RESULT_FD 4

/* Where the child's descriptors stand while they are moved to their places. */
static int move_descriptors(int lib, int result)
{
	int a = fcntl(lib, F_DUPFD, 16), b = fcntl(result, F_DUPFD, 16);
	int null = open("/dev/null", O_RDWR);

	if (a < 0 || b < 0 || null < 0)
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	if (dup2(a, LIB_FD) < 0 || dup2(b, RESULT_FD) < 0)
		return -errno;
	return close_range(RESULT_FD + 1, ~0u, 0) ? -errno : 0;
}

static void child(int lib, int result, uint64_t timeout_ns) __attribute__((noreturn));
static void child(int lib, int result, uint64_t timeout_ns)
{
	struct prove_result r = { 0 };
	int rc = move_descriptors(lib, result);

	if (rc)
		_exit(1);
	rc = prove_confine(RESULT_FD, timeout_ns / 1000000000u + 1);
	if (rc)
		r.unconfined = (uint32_t)-rc;
	else
		prove_library(LIB_FD, &r);
	_exit(write(RESULT_FD, &r, sizeof(r)) == sizeof(r) ? 0 : EIO);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The number of bytes read, 0 if it ended without a word, -ETIMEDOUT. */
static int read_result(int fd, uint64_t timeout_ns, struct prove_result *ret)
{
	uint64_t end = now_ns() + timeout_ns;

	for (;;) {
		uint64_t now = now_ns();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int n = now < end ? poll(&p, 1, (int)((end - now) / 1000000u) + 1) : 0;

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			return (int)read(fd, ret,
					 sizeof(*ret)); /* one write of less than PIPE_BUF is whole */
	}
}

static int explain_silence(int status, struct error_text *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, 1, "loading it ended by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
	return error_set(err, 1, "it ended the process that loaded it");
}

static int take_result(const struct prove_result *r, struct om_offsets_row *row, struct error_text *err)
{
	char why[sizeof(r->why)];

	if (r->unconfined)
		return error_set(err, -EPERM, "a child can't be confined here (%s): nothing was loaded",
				 strerror((int)r->unconfined));
	memcpy(why, r->why, sizeof(why));
	why[sizeof(why) - 1] = '\0';
	for (char *c = why; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	if (!r->is_proven)
		return error_set(err, 1, "%s", why);
	memcpy(row->at, r->at, sizeof(row->at));
	snprintf(row->version, sizeof(row->version), "%u.%u.%u", r->version / 10000, r->version / 100 % 100,
		 r->version % 100);
	if (om_offsets_check(row, why, sizeof(why)))
		return error_set(err, 1, "%s", why);
	return 0;
}

static void endp(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
}

int prove_offsets(int fd, uint64_t timeout_ns, struct om_offsets_row *row, struct error_text *err)
{
	_cleanup_close_ int from = -1, to = -1;
	_cleanup_(endp) pid_t pid = -1;
	struct prove_result result = { 0 };
	int pipe_fd[2], n, status;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return -errno;
	from = pipe_fd[0];
	to = pipe_fd[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(fd, to, timeout_ns);
	closep(&to);
	to = -1;
	n = read_result(from, timeout_ns, &result);
	if (n == -ETIMEDOUT)
		return error_set(err, n, "no answer within %llu s",
				 (unsigned long long)(timeout_ns / 1000000000u));
	if (n < 0)
		return n;
	if (n == sizeof(result))
		return take_result(&result, row, err);
	if (waitpid(pid, &status, 0) == pid)
		pid = -1;
	return n ? error_set(err, 1, "its answer is damaged") : explain_silence(status, err);
}
