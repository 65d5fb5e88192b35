// SPDX-License-Identifier: Apache-2.0
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void exec_program(const char *const argv[], int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(out, STDOUT_FILENO);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDERR_FILENO);
	}
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static size_t read_to_end(int fd, char *ret, size_t size)
{
	char rest[4096];
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 || (n < 0 && errno == EINTR)) {
		bool has_room = len + 1 < size;

		n = read(fd, has_room ? ret + len : rest, has_room ? size - 1 - len : sizeof(rest));
		if (n > 0 && has_room)
			len += (size_t)n;
	}
	ret[len] = '\0';
	return len;
}

int program_output(const char *const argv[], char *ret, size_t size)
{
	int fds[2], status, ended;
	size_t len;
	pid_t pid;

	ret[0] = '\0';
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0)
		exec_program(argv, fds[1]);
	close(fds[1]);
	len = pid > 0 ? read_to_end(fds[0], ret, size) : 0;
	close(fds[0]);
	if (pid < 0)
		return -1;
	while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	return ended == pid && WIFEXITED(status) && strlen(ret) == len ? WEXITSTATUS(status) : -1;
}
