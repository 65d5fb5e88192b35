// SPDX-License-Identifier: Apache-2.0
/*
 * Slurm by squeue. A job's name and, where accounts are not enforced, its account are words of
 * whoever submitted it, line breaks and all: so what slurmctld vouches for (number, user,
 * partition) is asked for alone, and each of the others alone too, with only the first line
 * that begins with the job's own number believed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "program.h"
#include "resolve_internal.h"

#define TEXT_MAX 65536

bool resolve_slurm_line(const char *text, const char *id, char *ret, size_t size)
{
	size_t n = strlen(id);

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		size_t len = strcspn(at, "\n");

		if (len <= n + 1 || strncmp(at, id, n) || at[n] != ' ')
			continue;
		if (len - n - 1 >= size)
			len = n + size;
		memcpy(ret, at + n + 1, len - n - 1);
		ret[len - n - 1] = '\0';
		return strcmp(ret, "(null)") != 0;
	}
	return false;
}

int resolve_slurm_who(const char *line, struct om_facts *f)
{
	static const char *const names[] = { "slurm-uid", "slurm-user", "slurm-partition" };
	const char *at = line;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strcspn(at, " ");
		_cleanup_free_ char *word = strndup(at, n);

		if (!word)
			return -ENOMEM;
		if (!n || (i == 0 && strspn(word, "0123456789") != n) || (i < 2) != (at[n] == ' '))
			return -EBADMSG;
		if (om_facts_add(f, names[i], word) == -ENOMEM)
			return -ENOMEM;
		at += n + 1;
	}
	return 0;
}

/* --- asking --- */

static int squeue(const char *id, const char *format, char *ret, size_t size)
{
	return program_output((const char *[]){ "squeue", "-h", "-t", "all", "-j", id, "-o", format, NULL },
			      ret, size);
}

/* slurmctld answers; a job it does not know makes squeue fail as well. */
static bool is_up(void)
{
	static char text[TEXT_MAX];

	return program_output((const char *[]){ "squeue", "-h", "-t", "RUNNING", "-o", "%A", NULL }, text,
			      sizeof(text)) == 0;
}

static int add_field(const char *id, const char *format, const char *name, struct om_facts *f)
{
	static char text[TEXT_MAX];
	char value[OM_FACT_VALUE_MAX + 8];
	int r = squeue(id, format, text, sizeof(text));

	/* Not as if it had none: a rule further down would name another tenant. */
	if (r)
		return -EIO;
	if (resolve_slurm_line(text, id, value, sizeof(value)))
		r = om_facts_add(f, name, value);
	return r < 0 ? r : 0;
}

static enum resolve_end ask_one(struct resolve_asking *a, const char *id)
{
	_cleanup_(om_facts_done) struct om_facts f = { 0 };
	static char text[TEXT_MAX];
	char who[512];
	int r;

	if (squeue(id, "%A %U %u %P", text, sizeof(text))) {
		if (is_up())
			return RESOLVE_ANSWERED; /* it has forgotten the job, or never knew it */
		error_set(&a->why, 0, "squeue does not run here, or slurmctld does not answer it");
		return RESOLVE_UNREACHABLE;
	}
	if (!resolve_slurm_line(text, id, who, sizeof(who)))
		return RESOLVE_ANSWERED;
	r = resolve_slurm_who(who, &f);
	if (r == -EBADMSG)
		error_set(&a->why, 0, "squeue -o '%%A %%U %%u %%P' says '%.100s'", who);
	r = r ?: add_field(id, "%A %a", "slurm-account", &f);
	r = r ?: add_field(id, "%A %j", "slurm-job-name", &f);
	if (r == -EIO)
		error_set(&a->why, 0, "squeue told a part of job %s only", id);
	if (r)
		return r == -EBADMSG ? RESOLVE_BAD : RESOLVE_UNREACHABLE;
	return resolve_say(a, id, &f);
}

enum resolve_end resolve_ask_slurm(struct resolve_asking *a)
{
	enum resolve_end end = RESOLVE_ANSWERED;

	for (size_t i = 0; i < a->count && end == RESOLVE_ANSWERED; i++)
		if (a->keys[i][0] && strspn(a->keys[i], "0123456789") == strlen(a->keys[i]))
			end = ask_one(a, a->keys[i]);
	return end;
}
