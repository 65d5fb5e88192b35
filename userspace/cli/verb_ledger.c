// SPDX-License-Identifier: Apache-2.0
/* `ledger verify|show|export`: reads a ledger, also while an agent writes it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/options.h"
#include "../agent/probes.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "../core/ledger.h"
#include "../core/reading_json.h"
#include "../core/totals.h"
#include "ledger_verbs.h"
#include "verbs.h"

#define DEFAULT_DIR "/var/lib/opmeter"

static int open_it(const char *dir, struct om_ledger **ret)
{
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, ret, &err);

	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r;
}

static int open_failed(int r)
{
	return r == -EUCLEAN ? EXIT_FINDING : EXIT_FAILED;
}

static void print_line(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text)
		puts(text);
	free(text);
	json_decref(o);
}

static int tell_destroyed(void *ctx, const struct om_entry *e)
{
	if (!e->payload)
		printf("entry %llu: destroyed by act %llu\n", (unsigned long long)e->index,
		       (unsigned long long)e->destroyed_by);
	return 0;
}

static int verify(int argc, char **argv)
{
	const char *dir = DEFAULT_DIR;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "ledger verify",
		.summary = "Recomputes every leaf and the root, and compares what was published with the log "
			   "and the hours.\n"
			   "Exit code 3, and the first wrong entry, if something is not in order.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct om_verify_report report;
	struct error_text err = { 0 };
	char id[OM_ID_STRLEN];
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = open_it(dir, &l);
	if (r)
		return open_failed(r);
	r = om_ledger_verify(l, &report, &err);
	if (r) {
		log_error("%s: not in order: %s", dir, err.text[0] ? err.text : strerror(-r));
		return EXIT_FINDING;
	}
	printf("ledger %s: in order\n%llu entries, %llu readings, %llu destroyed by an act\nroot of %llu "
	       "leaves: ",
	       om_id_format(om_ledger_id(l), id), (unsigned long long)report.entries,
	       (unsigned long long)report.readings, (unsigned long long)report.destroyed,
	       (unsigned long long)report.head.size);
	for (int i = 0; i < (int)sizeof(report.head.root); i++)
		printf("%02x", report.head.root[i]);
	printf("\n");
	if (report.destroyed)
		om_ledger_each_entry(l, 0, tell_destroyed, NULL);
	return EXIT_OK;
}

static int load_entry(void *ctx, const struct om_entry *e)
{
	struct om_assignment a;
	int r = 0;

	if (om_entry_assignment(e, &a))
		r = om_totals_assign(ctx, &a);
	return r < 0 ? r : 0;
}

static int load_reading(void *ctx, const struct om_reading *reading)
{
	int r = om_totals_put(ctx, reading);

	return r < 0 ? r : 0;
}

static int show_row(void *ctx, const struct om_attributed *a)
{
	const struct om_reading *r = a->reading;
	char day[16], job[OM_ID_STRLEN], ops[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];
	uint64_t lost = 0;

	for (int i = 0; i < OM_LOSS_END; i++)
		lost += r->value.lost[i];
	opcount_human(om_value_lower(&r->value), ops);
	opcount_human(om_value_upper(&r->value), high);
	printf("%s  %.12s  %-16.16s %-16.16s %-12.12s %-14s %-8s %10s..%-10s %12llu %8llu%s\n",
	       date_format((int32_t)r->key.day, day), om_id_format(&r->key.job, job), a->tenant, a->model,
	       om_phase_name(a->phase), om_format_name(r->key.format), om_meter_name(r->key.meter), ops, high,
	       (unsigned long long)r->value.calls, (unsigned long long)lost, r->attempted ? " *" : "");
	return 0;
}

static int show_json(void *ctx, const struct om_attributed *a)
{
	json_t *o = om_reading_to_json(a->reading);

	json_object_set_new(o, "tenant", json_string(a->tenant));
	json_object_set_new(o, "model", json_string(a->model));
	json_object_set_new(o, "phase", json_string(om_phase_name(a->phase)));
	print_line(o);
	return 0;
}

static int show(int argc, char **argv)
{
	const char *dir = DEFAULT_DIR;
	bool json = false;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ "json", NULL, OPTION_FLAG, &json, "exact figures, one JSON object a line" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "ledger show",
		.summary =
			"Shows the registers by day, with tenant, model and phase as they are assigned now.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	_cleanup_(om_totals_freep) struct om_totals *t = NULL;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = open_it(dir, &l);
	if (r)
		return open_failed(r);
	t = om_totals_new(4000000);
	r = t ? om_ledger_each_entry(l, 0, load_entry, t) : -ENOMEM;
	r = r ?: om_ledger_each_register(l, load_reading, t);
	if (r) {
		log_error("%s: cannot be read: %s", dir, strerror(-r));
		return r == -EUCLEAN ? EXIT_FINDING : EXIT_FAILED;
	}
	if (!json)
		printf("%-10s  %-12s  %-16s %-16s %-12s %-14s %-8s %22s %12s %8s\n", "DAY", "JOB", "TENANT",
		       "MODEL", "PHASE", "FORMAT", "METER", "OPERATIONS", "CALLS", "LOSSES");
	om_totals_each_register(t, json ? show_json : show_row, NULL);
	if (!json)
		printf("* attempted: no device meter stands behind the figure\n");
	return EXIT_OK;
}

static int export_reading(void *ctx, const struct om_reading *r)
{
	print_line(om_reading_to_json(r));
	return 0;
}

static json_t *payload_json(const struct om_entry *e)
{
	json_t *list;

	if (!e->payload)
		return json_null();
	if (e->kind != OM_ENTRY_READINGS)
		return json_loadb(e->payload, e->len, JSON_DECODE_ANY, NULL) ?: json_null();
	list = json_array();
	for (size_t at = 0; at + OM_READING_SIZE <= e->len; at += OM_READING_SIZE) {
		struct om_reading r;

		if (om_reading_decode((const uint8_t *)e->payload + at, OM_READING_SIZE, &r) == 0)
			json_array_append_new(list, om_reading_to_json(&r));
	}
	return list;
}

static int export_entry(void *ctx, const struct om_entry *e)
{
	static const char *const kinds[OM_ENTRY_END] = { "?",	"readings", "job",  "assignment", "alert",
							 "act", "node",	    "case", "process" };
	char time[OM_TIME_STRLEN];
	json_t *o = json_pack("{s:I,s:s,s:s,s:o}", "index", (json_int_t)e->index, "kind",
			      e->kind < OM_ENTRY_END ? kinds[e->kind] : "?", "time",
			      om_time_format(e->time_ns, time), "payload", payload_json(e));

	if (!e->payload)
		json_object_set_new(o, "destroyed_by", json_integer((json_int_t)e->destroyed_by));
	print_line(o);
	return 0;
}

static int export_shape(void *ctx, const struct om_shape_usage *s)
{
	char job[OM_ID_STRLEN];

	print_line(json_pack("{s:s,s:i,s:I,s:I,s:I,s:I,s:i,s:i,s:I}", "job", om_id_format(&s->job, job),
			     "pid", (int)s->tgid, "m", (json_int_t)s->m, "n", (json_int_t)s->n, "k",
			     (json_int_t)s->k, "batch", (json_int_t)s->batch, "types", (int)s->types, "flags",
			     (int)s->flags, "calls", (json_int_t)s->calls));
	return 0;
}

static int export_kernel(void *ctx, const struct om_launch_usage *u, const char *name)
{
	char job[OM_ID_STRLEN], text[1024];

	print_line(json_pack("{s:s,s:i,s:s?,s:[i,i,i],s:[i,i,i],s:i,s:b,s:I}", "job",
			     om_id_format(&u->job, job), "pid", (int)u->tgid, "kernel",
			     name ? text_escape(name, text, sizeof(text)) : NULL, "grid", (int)u->grid[0],
			     (int)u->grid[1], (int)u->grid[2], "block", (int)u->block[0], (int)u->block[1],
			     (int)u->block[2], "shared", (int)u->shared, "in_product",
			     (int)(u->flags & OM_LAUNCH_IN_PRODUCT), "launches", (json_int_t)u->calls));
	return 0;
}

static int export(int argc, char **argv)
{
	const char *dir = DEFAULT_DIR;
	bool readings = false, entries = false, shapes = false, kernels = false, collectives = false,
	     communicators = false;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ "readings", NULL, OPTION_FLAG, &readings, "every register by day, as a reading" },
		{ "entries", NULL, OPTION_FLAG, &entries, "every entry of the log" },
		{ "shapes", NULL, OPTION_FLAG, &shapes, "every shape: a tenant's trade secret" },
		{ "kernels", NULL, OPTION_FLAG, &kernels, "every kernel with its geometry: likewise" },
		{ "collectives", NULL, OPTION_FLAG, &collectives, "what went through NCCL's communicators" },
		{ "communicators", NULL, OPTION_FLAG, &communicators, "every call that makes or ends one" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "ledger export",
		.summary = "Writes what the ledger holds as JSON lines (docs/formats.md), exact.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!readings && !entries && !shapes && !kernels && !collectives && !communicators) {
		log_error("ledger export: say what: --readings, --entries, --shapes, --kernels, "
			  "--collectives or "
			  "--communicators");
		return EXIT_USAGE;
	}
	r = open_it(dir, &l);
	if (r)
		return open_failed(r);
	r = readings ? om_ledger_each_register(l, export_reading, NULL) : 0;
	r = r ?: entries ? om_ledger_each_entry(l, 0, export_entry, NULL) : 0;
	r = r ?: shapes ? om_ledger_each_shape(l, export_shape, NULL) : 0;
	r = r ?: kernels ? om_ledger_each_launch(l, export_kernel, NULL) : 0;
	r = r ?: collectives ? ledger_export_collectives(l) : 0;
	r = r ?: communicators ? ledger_export_communicators(l) : 0;
	if (r == 0)
		return EXIT_OK;
	log_error("%s: cannot be read to its end: %s", dir, strerror(-r));
	return r == -EUCLEAN ? EXIT_FINDING : EXIT_FAILED;
}

int verb_ledger(int argc, char **argv)
{
	static const struct {
		const char *name, *help;
		int (*run)(int argc, char **argv);
	} acts[] = {
		{ "verify", "is the ledger in order?", verify },
		{ "show", "the registers by day", show },
		{ "export", "everything, as JSON lines", export },
		{ "join", "which processes are one job", ledger_join },
	};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(acts); i++)
		if (!strcmp(argv[1], acts[i].name))
			return acts[i].run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("ledger: no '%s': verify, show, export or join", argv[1]);
		return EXIT_USAGE;
	}
	printf("usage: opmeter ledger ACT [OPTION ...]\n\nLooks into the node's ledger.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		printf("  %-8s %s\n", acts[i].name, acts[i].help);
	printf("  %-8s %s\n", "--help", "print this; `opmeter ledger ACT --help` tells the rest");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
