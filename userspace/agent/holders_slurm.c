// SPDX-License-Identifier: Apache-2.0
/*
 * What Slurm says of the jobs on this node. A job's own words (its name, comment,
 * command) are in scontrol's text, and could look like a job of somebody else's: so
 * the numbers of jobs come from squeue, which prints nothing but numbers here, and
 * each job's text is believed of that job only. Runs in a process of its own: a
 * controller that does not answer holds up nobody.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/exit_code.h"
#include "holders.h"
#include "program.h"

#define JOBS_MAX 1024
#define TEXT_MAX 65536

/* --- host lists --- */

/* "01-04,7" against the digits of a name: numbers of equal width where they are padded. */
static bool has_number(const char *ranges, size_t len, const char *digits, size_t digits_len)
{
	uint64_t want = strtoull(digits, NULL, 10);
	const char *at = ranges, *end = ranges + len;

	while (at < end) {
		char *rest;
		size_t width = strspn(at, "0123456789");
		uint64_t low = strtoull(at, &rest, 10), high = low;

		if (!width || rest > end)
			return false;
		if (rest < end && *rest == '-')
			high = strtoull(rest + 1, &rest, 10);
		/* Slurm pads to the width of the range's first number. */
		if (want >= low && want <= high && (digits_len == width || (*at != '0' && digits[0] != '0')))
			return true;
		if (rest < end && *rest != ',')
			return false;
		at = rest + 1;
	}
	return false;
}

static bool matches(const char *item, size_t len, const char *node)
{
	const char *open = memchr(item, '[', len);
	size_t prefix = open ? (size_t)(open - item) : len, digits, suffix;
	const char *close = open ? memchr(open, ']', len - prefix) : NULL;

	if (!open)
		return strlen(node) == len && !memcmp(item, node, len);
	if (!close || strncmp(node, item, prefix))
		return false;
	digits = strspn(node + prefix, "0123456789");
	suffix = len - (size_t)(close + 1 - item);
	return digits && strlen(node + prefix + digits) == suffix &&
	       !memcmp(node + prefix + digits, close + 1, suffix) &&
	       has_number(open + 1, (size_t)(close - open - 1), node + prefix, digits);
}

bool holders_slurm_has_node(const char *list, size_t len, const char *node)
{
	size_t begin = 0;
	int depth = 0;

	for (size_t i = 0; i <= len; i++) {
		depth += i < len ? (list[i] == '[') - (list[i] == ']') : 0;
		if (i < len && (list[i] != ',' || depth > 0))
			continue;
		if (matches(list + begin, i - begin, node))
			return true;
		begin = i + 1;
	}
	return false;
}

/* --- one job --- */

/* "gpu:2(IDX:0-1,3),shard:..." */
static uint64_t indices_of(const char *gres, size_t len)
{
	uint64_t ret = 0;
	size_t i = 0;

	while (i < len) {
		const char *open = memchr(gres + i, '(', len - i), *close, *at;

		if (!open)
			break;
		close = memchr(open, ')', len - (size_t)(open - gres));
		if (!close)
			break;
		at = !strncmp(gres + i, "gpu", 3) && !strncmp(open, "(IDX:", 5) ? open + 5 : close;
		while (at < close && isdigit((unsigned char)*at)) {
			char *rest;
			uint64_t low = strtoull(at, &rest, 10), high = low;

			if (*rest == '-')
				high = strtoull(rest + 1, &rest, 10);
			for (uint64_t k = low; k <= high && k < 64; k++)
				ret |= 1ULL << k;
			at = rest + (*rest == ',');
		}
		i = (size_t)(close - gres) + 1;
		i += i < len && gres[i] == ',';
	}
	return ret;
}

uint64_t holders_slurm_indices(const char *text, const char *node)
{
	uint64_t ret = 0;

	/* "Nodes=gpu[1-2] CPU_IDs=0-7 Mem=0 GRES=gpu:2(IDX:0-1)" */
	for (const char *at = strstr(text, " Nodes="); at; at = strstr(at + 1, " Nodes=")) {
		const char *list = at + 7, *next = strstr(list, " Nodes="), *gres = strstr(list, " GRES=");

		if (!gres || (next && gres > next) ||
		    !holders_slurm_has_node(list, strcspn(list, " \n"), node))
			continue;
		ret |= indices_of(gres + 6, strcspn(gres + 6, " \n"));
	}
	return ret;
}

/* --- asking --- */

static bool ask_job(const char *id, const char *node, FILE *out)
{
	static char text[TEXT_MAX];
	const char *const argv[] = { "scontrol", "-o", "-d", "show", "job", id, NULL };
	uint64_t indices;

	/* One that has ended since is none. */
	if (program_output(argv, text, sizeof(text)))
		return true;
	indices = holders_slurm_indices(text, node);
	for (unsigned i = 0; i < 64; i++)
		if (indices >> i & 1)
			fprintf(out, "%s %u\n", id, i);
	return !ferror(out);
}

int holders_slurm(const char *node, int fd)
{
	static char list[JOBS_MAX * 12];
	const char *const argv[] = { "squeue", "-h", "-t", "RUNNING,SUSPENDED,COMPLETING", "-w", node,
				     "-o",     "%A", NULL };
	_cleanup_fclose_ FILE *out = fdopen(dup(fd), "w");
	char *save = NULL;

	if (!out || program_output(argv, list, sizeof(list)))
		return EXIT_FAILED;
	for (char *id = strtok_r(list, " \n", &save); id; id = strtok_r(NULL, " \n", &save))
		if (strspn(id, "0123456789") == strlen(id) && !ask_job(id, node, out))
			return EXIT_FAILED;
	fputs("end\n", out);
	return fflush(out) ? EXIT_FAILED : EXIT_OK;
}
