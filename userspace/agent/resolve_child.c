// SPDX-License-Identifier: Apache-2.0
/* An asking as a process of its own: started, read without waiting, killed when it takes too long or says too
 * much. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "resolve_internal.h"

#define RULES_FD 3
#define RULES_PATH "/proc/self/fd/3"

static void exec_child(const char *program, const char *const argv[], int fd, int rules_fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* One that is its own copy already would keep its close-on-exec. */
	if (getppid() != parent || dup2(fd, STDOUT_FILENO) < 0 ||
	    (rules_fd == RULES_FD ? fcntl(rules_fd, F_SETFD, 0) : dup2(rules_fd, RULES_FD)) < 0)
		_exit(1);
	close_range(RULES_FD + 1, ~0u, 0); /* the ledger's lock among them, which must end with the agent */
	/* A group of its own: what it starts ends with it. */
	setpgid(0, 0);
	execv(program, (char *const *)argv);
	_exit(127);
}

int resolve_child_start(struct resolve_child *c, const char *program, const char *source, int rules_fd,
			const char *const *keys, size_t count, uint64_t now_ns)
{
	const char *argv[RESOLVE_KEYS_MAX + 5] = { "opmeter", RESOLVE_VERB, source, RULES_PATH };
	_cleanup_close_ int to_read = -1;
	_cleanup_close_ int to_write = -1;
	pid_t parent = getpid(), pid;
	int fds[2];

	for (size_t i = 0; i < count && i < RESOLVE_KEYS_MAX; i++)
		argv[4 + i] = keys[i];
	program = program ?: getenv("OPMETER_SELF") ?: "/proc/self/exe";
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	to_read = fds[0];
	to_write = fds[1];
	fcntl(to_read, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		exec_child(program, argv, to_write, rules_fd, parent);
	if (pid < 0)
		return -errno;
	setpgid(pid, pid);
	c->pid = pid;
	c->fd = TAKE_FD(to_read);
	c->since_ns = now_ns;
	c->len = 0;
	return 0;
}

void resolve_child_end(struct resolve_child *c)
{
	if (c->pid) {
		kill(-c->pid, SIGKILL);
		kill(c->pid, SIGKILL);
		/* One that hangs in the kernel is waited for later. */
		if (waitpid(c->pid, NULL, WNOHANG) == 0)
			c->dying = c->pid;
		close(c->fd);
	}
	free(c->answer);
	*c = (struct resolve_child){ .dying = c->dying, .fd = -1 };
}

/* Between askings nothing is held: the room comes with the answer. */
static int make_room(struct resolve_child *c)
{
	size_t room = c->room ? 2 * c->room : 16384;
	char *bigger;

	if (c->len + 1 < c->room)
		return 0;
	bigger = realloc(c->answer, room);
	if (!bigger)
		return -ENOMEM;
	c->answer = bigger;
	c->room = room;
	return 0;
}

int resolve_child_step(struct resolve_child *c, uint64_t now_ns, uint64_t limit_ns)
{
	ssize_t n = 1;

	while (n > 0) {
		if (c->len >= RESOLVE_ANSWER_MAX || make_room(c))
			return 3;
		n = read(c->fd, c->answer + c->len, c->room - 1 - c->len);
		if (n > 0)
			c->len += (size_t)n;
	}
	c->answer[c->len] = '\0';
	if (n == 0)
		return 1;
	return now_ns - c->since_ns >= limit_ns ? 2 : 0;
}
