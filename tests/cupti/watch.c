// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's part in the collector's tests: attaches to FILE and does what it is told.
 *
 *     watch PIN_DIR FILE [SIGNATURES_PER_PROCESS]
 *
 * Commands on stdin, one a line, answers in JSON, one a line, then "ok": read, calibrate, off, on, release, attach,
 * forget PID. At the end of stdin all pins are removed, unless the last command was `leave`.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../userspace/agent/counter.h"

static int die(int rc, const struct error_text *err)
{
	printf("error %s: %s\n", strerror(-rc), err->text);
	return 1;
}

static int print_all(struct counter *c)
{
	struct counter_snapshot s;
	int rc = counter_read(c, &s);

	if (rc)
		return rc;
	for (size_t i = 0; i < s.row_count; i++) {
		const struct counter_row *r = &s.rows[i];

		printf("{\"pid\": %u, \"cgroup\": %" PRIu64 ", \"name\": \"%016" PRIx64 "\", \"grid\": [%u, %u, %u], "
		       "\"block\": [%u, %u, %u], \"shared\": %u, \"metric\": %u, \"count\": %" PRIu64
		       ", \"sum\": %" PRIu64 ", \"mean\": %.17g, \"variance\": %.17g}\n",
		       r->key.tgid, (uint64_t)r->key.cgroup_id, (uint64_t)r->key.name, r->key.grid[0], r->key.grid[1],
		       r->key.grid[2], r->key.block[0], r->key.block[1], r->key.block[2], r->key.shared,
		       r->key.metric, (uint64_t)r->value.count, (uint64_t)r->value.sum, counter_mean(&r->value),
		       counter_variance(&r->value));
	}
	for (size_t i = 0; i < s.process_count; i++) {
		const struct om_counter_process *p = &s.processes[i].value;

		printf("{\"process\": %u, \"state\": \"%s\", \"reason\": %u, \"why\": \"%s\", \"detail\": %u, "
		       "\"chip\": %u, \"cupti\": %u, "
		       "\"sessions\": %" PRIu64 ", \"measured\": %" PRIu64 ", \"discarded\": %" PRIu64
		       ", \"dropped\": %" PRIu64 ", \"cost_ns\": %" PRIu64 ", \"readings\": %" PRIu64
		       ", \"signatures\": %" PRIu64 ", \"lost\": [",
		       s.processes[i].key.tgid, counter_state_name(p->status.state), p->status.reason,
		       counter_reason_name(p->status.reason), p->status.detail, p->status.chip, p->status.cupti_version,
		       (uint64_t)p->status.sessions, (uint64_t)p->status.measured, (uint64_t)p->status.discarded,
		       (uint64_t)p->status.dropped, (uint64_t)p->status.cost_ns, (uint64_t)p->readings,
		       (uint64_t)p->signatures);
		for (size_t l = 0; l < OM_COUNTER_LOST_END; l++)
			printf("%s%" PRIu64, l ? ", " : "", (uint64_t)p->lost[l]);
		printf("]}\n");
	}
	return 0;
}

static int print_calibrations(struct counter *c)
{
	struct om_calibrations *all = om_calibrations_new(4096);
	const struct om_calibration_finding *f;
	const struct om_calibration *at;
	struct counter_snapshot s;
	size_t count;
	int rc = counter_read(c, &s);

	rc = rc ? rc : counter_claim(&s, NULL, NULL, all);
	rc = rc ? rc : om_calibrations_settle(all);
	at = om_calibrations_all(all, &count);
	for (size_t i = 0; i < count && !rc; i++)
		printf("{\"calibrated\": \"%016" PRIx64 "\", \"metric\": %u, \"verdict\": %d, \"mean\": %.17g, "
		       "\"launches\": %" PRIu64 ", \"owners\": %u, \"rejected\": %u}\n",
		       at[i].key.name, at[i].key.metric, at[i].verdict, at[i].mean, at[i].launches, at[i].owners,
		       at[i].rejected);
	f = om_calibrations_findings(all, &count);
	for (size_t i = 0; i < count && !rc; i++)
		printf("{\"finding\": %" PRIu64 ", \"claimed\": %.17g, \"expected\": %.17g}\n", f[i].owner, f[i].claimed,
		       f[i].expected);
	om_calibrations_free(all);
	return rc;
}

static int forget(struct counter *c, unsigned pid)
{
	struct counter_snapshot s;
	int rc = counter_read(c, &s);

	for (size_t i = 0; i < s.process_count && !rc; i++)
		if (s.processes[i].key.tgid == pid)
			return counter_forget(c, &(struct om_proc_key){ .start_ns = s.processes[i].key.start_ns,
									.tgid = pid });
	return rc ? rc : -ENOENT;
}

static int obey(struct counter *c, int control, const char *file, const struct stat *st, const char *line,
		struct error_text *err)
{
	struct om_control state = { .off = OM_OFF_COUNTER };
	uint32_t zero = 0;

	if (!strcmp(line, "read"))
		return print_all(c);
	if (!strcmp(line, "calibrate"))
		return print_calibrations(c);
	if (!strcmp(line, "release"))
		return counter_release(c, st->st_dev, st->st_ino);
	if (!strcmp(line, "attach"))
		return counter_attach(c, file, st->st_dev, st->st_ino, err);
	if (!strncmp(line, "forget ", 7))
		return forget(c, (unsigned)atoi(line + 7));
	if (!strcmp(line, "on"))
		state.off = 0;
	else if (strcmp(line, "off"))
		return !strcmp(line, "leave") ? 0 : -EINVAL;
	return bpf_map_update_elem(control, &zero, &state, BPF_ANY) ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct counter_config config = { .pin_dir = argv[1] };
	_cleanup_counter_ struct counter *c = NULL;
	struct error_text err = {};
	bool is_to_stay = false;
	char line[256];
	struct stat st;
	int rc;

	if (argc < 3 || stat(argv[2], &st))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	config.control_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(struct om_control), 1, NULL);
	config.signatures_per_process = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
	rc = config.control_fd < 0 ? -errno : counter_open(&config, &c, &err);
	rc = rc ? rc : counter_attach(c, argv[2], st.st_dev, st.st_ino, &err);
	if (rc)
		return die(rc, &err);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		is_to_stay = !strcmp(line, "leave");
		rc = obey(c, config.control_fd, argv[2], &st, line, &err);
		if (rc)
			die(rc, &err);
		else
			printf("ok\n");
	}
	if (!is_to_stay)
		counter_remove_all(argv[1]);
	return 0;
}
