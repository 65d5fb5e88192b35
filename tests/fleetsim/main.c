// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/cleanup.h"
#include "userspace/base/options.h"

static int read_faults(const char *names, struct sim_config *c)
{
	char text[256], *save = NULL;

	snprintf(text, sizeof(text), "%s", names);
	for (char *name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		int f = 0;

		while (f < SIM_FAULTS && strcmp(name, sim_fault_name((enum sim_fault)f)))
			f++;
		if (f == SIM_FAULTS) {
			fprintf(stderr, "fleetsim: no fault is called '%s'\n", name);
			return -1;
		}
		c->has_fault[f] = true;
	}
	return 0;
}

static int check(const struct sim_config *c)
{
	if (!c->brokers && !c->is_dry) {
		fprintf(stderr, "fleetsim: --brokers must be given, or --dry\n");
		return -1;
	}
	if (!c->nodes || !c->days || !c->tick_s || SIM_DAY_S % c->tick_s || !c->formats || c->formats > 8 ||
	    c->giant_percent > 100 || c->nodes > 1000000 || c->crossings > 100000 || c->days > 3650 || c->jobs > 1000000) {
		fprintf(stderr, "fleetsim: nodes, days, jobs, tick (a part of a day), formats (1 to 8) or giant (percent) out of range\n");
		return -1;
	}
	return 0;
}

static int run(struct sim *s)
{
	struct error_text err = { 0 };
	FILE *truth = s->config.truth_path ? fopen(s->config.truth_path, "we") : stdout;
	int r;

	if (!truth) {
		fprintf(stderr, "fleetsim: %s: %s\n", s->config.truth_path, strerror(errno));
		return 1;
	}
	r = sim_plan(s, &err) ?: wire_open(&s->config, &s->wire, &err) ?: sim_run(s, &err) ?: sim_write_truth(s, truth);
	if (r)
		fprintf(stderr, "fleetsim: %s\n", err.text[0] ? err.text : strerror(-r));
	s->wire = wire_free(s->wire);
	if (truth != stdout)
		fclose(truth);
	sim_done(s);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct sim s = { .config = { .seed = 1, .nodes = 32, .days = 3, .tick_s = 3600, .jobs = 48, .formats = 2, .age_days = 2,
				     .node_peak = 8000000000000000ULL, /* eight devices of 1e15 */
				     .schedule_path = "tests/fleetsim/data/schedule.csv" } };
	struct sim_config *c = &s.config;
	const char *faults = "", *crossing = "1e19";
	bool is_reset = false;
	uint64_t tick_ns = 3600 * SIM_NS;
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &c->brokers, "HOST:PORT,..." },
		{ "kafka-config", "FILE", OPTION_STRING, &c->kafka_config, "librdkafka properties (none)" },
		{ "truth", "FILE", OPTION_STRING, &c->truth_path, "where the true totals go, JSON (standard output)" },
		{ "seed", "N", OPTION_UINT, &c->seed, "what everything follows from (1)" },
		{ "nodes", "N", OPTION_UINT, &c->nodes, "of eight GPUs (32)" },
		{ "node-peak", "N", OPTION_UINT, &c->node_peak, "operations a second of a node (8000000000000000)" },
		{ "days", "N", OPTION_UINT, &c->days, "of the simulation's own time (3)" },
		{ "age", "N", OPTION_UINT, &c->age_days, "days between its end and today (2)" },
		{ "tick", "TIME", OPTION_DURATION, &tick_ns, "between two publications of a node, its own time (1h)" },
		{ "jobs", "N", OPTION_UINT, &c->jobs, "drawn from the schedule (48)" },
		{ "schedule", "FILE", OPTION_STRING, &c->schedule_path, "jobs (tests/fleetsim/data/schedule.csv)" },
		{ "giant", "PERCENT", OPTION_UINT, &c->giant_percent, "of the fleet that one tenant's one job holds (0)" },
		{ "formats", "N", OPTION_UINT, &c->formats, "number formats of each job, a register each a day (2)" },
		{ "tenants", "N", OPTION_UINT, &c->tenants, "by number, 0: the schedule's own (0)" },
		{ "cross", "N", OPTION_UINT, &c->crossings, "tenants that cross by one reading each, at known moments (0)" },
		{ "cross-ops", "N", OPTION_STRING, &crossing, "operations of that reading (1e19)" },
		{ "beat", "TIME", OPTION_DURATION, &c->beat_ns, "between two heartbeats of a node, real time (none)" },
		{ "linger", "TIME", OPTION_DURATION, &c->linger_ns, "living nodes go on beating after the end, real time (none)" },
		{ "rate", "N", OPTION_UINT, &c->rate, "records a second, 0: as fast as it goes (0)" },
		{ "faults", "LIST", OPTION_STRING, &faults,
		  "duplicate,shuffle,replay,regress,restore,clock,torn,late,move,hold,die,forge (none)" },
		{ "plain", NULL, OPTION_FLAG, &c->is_plain, "the shape meter only" },
		{ "more-meters", NULL, OPTION_FLAG, &c->has_more, "corrections and the counter meter, too" },
		{ "older", NULL, OPTION_FLAG, &c->has_older, "every other node writes as those of before 0.2 did" },
		{ "republish", NULL, OPTION_FLAG, &c->republish, "send every register once more at the end" },
		{ "dry", NULL, OPTION_FLAG, &c->is_dry, "the truth only; nothing is sent" },
		{ "reset", NULL, OPTION_FLAG, &is_reset, "delete every topic of opmeter's at the broker, and end" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = "fleetsim",
					  .summary = "A simulated fleet that publishes to a real broker and knows its own totals.",
					  .options = options };
	struct error_text err = { 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	c->tick_s = tick_ns / SIM_NS;
	if (r || read_faults(faults, c) || opcount_parse(crossing, &c->crossing_ops))
		return r == 1 ? 0 : 2;
	if (is_reset) {
		r = c->brokers ? sim_reset(c->brokers, &err) : -1;
		if (r)
			fprintf(stderr, "fleetsim: %s\n", err.text[0] ? err.text : "--brokers must be given");
		return r ? 1 : 0;
	}
	return check(c) ? 2 : run(&s);
}
