// SPDX-License-Identifier: Apache-2.0
/*
 * Every recorded run whose truth is known, through the real catalogue, peaks and
 * reconciliation: per run and meter the truth, the interval, its error, width and
 * coverage. Ends with 1 if a truth lies outside an interval that claims to hold it.
 *
 *     shape      the run's products as the recorded operators asked for them
 *     launch     the other kernels, as the catalogue bounds them by name and grid
 *     utilisation  a device without pipe counters: recorded device time x the highest rate
 *                of the formats
 *     pipes      a device with them, its activity made from the truth: simulation only
 *     counter    kernels that the catalogue bounds by more than a tenth, or not at all,
 *                from randomly chosen launches with the hardware's count, which the truth
 *                stands for: confirmed by simulation only
 *
 * Only kernels whose operations are known take part: exact, op_total and captured.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "userspace/core/catalogue.h"
#include "userspace/core/peaks.h"
#include "userspace/core/reconcile.h"
#include "userspace/core/run.h"

#define ROWS_MAX 4096
#define SEEDS 2000
#define SAMPLED_SHARE 10 /* of a signature's launches, one in this many */
#define SAMPLED_MIN 100	 /* and at least these; all, if there are no more */
#define UNBOUNDED_SHOWN 4
#define WIDE 10		 /* a catalogue's bound wider than 1 / WIDE is calibrated */

struct row {
	uint64_t count, ns;
	double flops; /* of one launch */
	char kind[24], dtype[16], key[2048];
	struct om_signature signature;
	char name[4096];
	int group; /* signature */
};

/* A kernel of whatever status, with the time it took. */
struct timed {
	char name[512];
	struct om_kernel_estimate estimate;
	uint64_t ns;
};

struct trace {
	char name[64], chip[64];
	struct timed *timed; /* that nothing bounds but time; equal names are one */
	size_t timed_count;
	uint64_t total_ns;
	struct row *row;
	size_t rows;
	int groups;
	double truth, products;
};

struct result {
	opcount low, high;
	double best;
	bool claims; /* the interval claims to hold the truth */
};

static int bad;

/* --- reading --- */

static bool is_known(const char *status)
{
	return !strcmp(status, "exact") || !strcmp(status, "op_total") || !strcmp(status, "captured");
}

static void row_group(struct trace *t, struct row *r)
{
	r->group = t->groups;
	for (size_t i = 0; i < t->rows; i++)
		if (!strcmp(t->row[i].key, r->key)) {
			r->group = t->row[i].group;
			return;
		}
	t->groups++;
}

static void time_row(const struct om_catalogue *c, struct trace *t, const struct row *r)
{
	struct om_kernel_estimate k;
	size_t i = 0;

	t->total_ns += r->ns;
	om_catalogue_estimate(c, &r->signature, &k);
	if (k.is_bounded || !strcmp(r->kind, "product"))
		return;
	while (i < t->timed_count && strncmp(t->timed[i].name, r->name, sizeof(t->timed[i].name) - 1))
		i++;
	if (i == t->timed_count) {
		t->timed[t->timed_count++].estimate = k;
		snprintf(t->timed[i].name, sizeof(t->timed[i].name), "%.511s", r->name);
	}
	t->timed[i].ns += r->ns;
}

static void row_read(const struct om_catalogue *c, struct trace *t, const char *line)
{
	struct row *r = &t->row[t->rows];
	char status[16], flops[40], rest[4096];

	memset(r, 0, sizeof(*r));
	if (sscanf(line, "%" SCNu64 "\t%" SCNu64 "\t%39s\t%15s\t%23s\t%15s\t%4095[^\n]", &r->count, &r->ns, flops, status,
		   r->kind, r->dtype, rest) != 7)
		return;
	if (sscanf(rest, "%ux%ux%u\t%ux%ux%u\t%u\t%4095[^\n]", &r->signature.grid[0], &r->signature.grid[1],
		   &r->signature.grid[2], &r->signature.block[0], &r->signature.block[1], &r->signature.block[2],
		   &r->signature.shared_bytes, r->name) != 8)
		return;
	r->signature.name = r->name;
	time_row(c, t, r);
	if (!is_known(status))
		return;
	r->flops = atof(flops);
	snprintf(r->key, sizeof(r->key), "%.2047s", rest);
	row_group(t, r);
	t->truth += r->flops * (double)r->count;
	t->products += strcmp(r->kind, "product") ? 0 : r->flops * (double)r->count;
	t->rows++;
}

static int trace_read(const struct om_catalogue *c, const char *dir, const char *file, struct trace *t)
{
	char path[512], line[8192];
	gzFile f;

	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%.*s", (int)(strlen(file) - strlen(".tsv.gz")), file);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = gzopen(path, "rb");
	t->row = calloc(ROWS_MAX, sizeof(*t->row));
	t->timed = calloc(ROWS_MAX, sizeof(*t->timed));
	if (!f || !t->row || !t->timed)
		return -1;
	while (gzgets(f, line, sizeof(line)) && t->rows < ROWS_MAX && t->timed_count < ROWS_MAX)
		if (line[0] != '#')
			row_read(c, t, line);
		else if (sscanf(line, "# chip %63[^\n]", t->chip) != 1)
			continue;
	gzclose(f);
	return t->truth > 0 ? 0 : -1;
}

/* --- meters --- */

static opcount to_count(double v)
{
	return v > 0 ? (opcount)(v + 0.5) : 0;
}

/* From the recorded operators, by the code that `opmeter replay` runs. */
static opcount shape_meter(const struct trace *t)
{
	struct error_text err = { 0 };
	struct run run = { 0 };
	opcount sum = 0;
	char path[512];

	snprintf(path, sizeof(path), "tests/data/runs/%s.run.gz", t->name);
	if (run_load(path, &run, &err) || run_ops(&run, &sum)) {
		fprintf(stderr, "accuracy: %s: %s\n", path, err.text);
		exit(2);
	}
	run_done(&run);
	return sum;
}

static bool is_wide(const struct om_kernel_estimate *e)
{
	return !e->is_bounded || e->high - e->low > e->high / WIDE;
}

static void launch_meter(const struct om_catalogue *c, const struct trace *t, bool has_counter, struct om_evidence *e,
			 double *ret_seen)
{
	e->meters |= 1u << OM_METER_LAUNCH;
	for (size_t i = 0; i < t->rows; i++) {
		const struct row *r = &t->row[i];
		struct om_kernel_estimate k;

		if (!strcmp(r->kind, "product"))
			continue;
		om_catalogue_estimate(c, &r->signature, &k);
		if (has_counter && is_wide(&k))
			continue;
		if (!k.is_bounded) {
			e->unknown_launches += r->count;
			continue;
		}
		*ret_seen += r->flops * (double)r->count;
		e->launched_low += k.low * r->count;
		e->launched_high += k.high * r->count;
	}
}

/* fp32 operands may be multiplied as tf32. */
static uint32_t formats_of_row(const char *dtype)
{
	return strstr(dtype, "BFloat16") ? 1u << OM_FORMAT_BF16
	       : strstr(dtype, "Half")	 ? 1u << OM_FORMAT_FP16
	       : strstr(dtype, "Float8") ? 1u << OM_FORMAT_FP8
					 : 1u << OM_FORMAT_FP32 | 1u << OM_FORMAT_TF32;
}

static uint32_t formats_of(const struct trace *t)
{
	uint32_t formats = 0;

	for (size_t i = 0; i < t->rows; i++)
		formats |= formats_of_row(t->row[i].dtype);
	return formats;
}

static void device_meter(const struct om_peaks *peaks, const struct trace *t, struct om_evidence *e)
{
	const struct om_chip *chip = om_peaks_find(peaks, t->chip) ?: om_peaks_highest(peaks);
	struct om_activity_span span = { .percent = { -1, -1, -1, -1, -1 }, .busy = 100, .clock_low = chip->max_mhz,
					 .clock_high = chip->max_mhz };

	for (size_t i = 0; i < t->rows; i++)
		span.ns += t->row[i].ns;
	om_chip_executed(chip, &span, formats_of(t), &e->device_low, &e->device_high);
	e->meters |= 1u << OM_METER_DEVICE;
}

/* Pipe activity as GPM would give it if every operation were executed once, at the rate of its own
 * format: the arithmetic is what this confirms. */
static void pipes_meter(const struct om_peaks *peaks, const struct trace *t, struct om_evidence *e)
{
	const struct om_chip *chip = om_peaks_find(peaks, t->chip) ?: om_peaks_highest(peaks);
	struct om_activity_span span = { .busy = 100, .step = 0.1, .clock_low = chip->max_mhz, .clock_high = chip->max_mhz };
	double cycles[OM_PIPE_END] = { 0 };
	uint32_t formats = formats_of(t);

	for (size_t i = 0; i < t->rows; i++) {
		const struct row *r = &t->row[i];
		uint32_t own = formats_of_row(r->dtype);
		/* A chip without tf32 multiplies fp32 on the scalar pipe. */
		bool is_scalar = own & 1u << OM_FORMAT_FP32 && !chip->tensor[OM_FORMAT_TF32];
		enum om_pipe pipe = is_scalar ? OM_PIPE_FP32 : OM_PIPE_TENSOR;

		span.ns += r->ns;
		cycles[pipe] += r->flops * (double)r->count / om_chip_rates(chip, pipe, own).low;
	}
	for (int p = 0; p < OM_PIPE_END; p++)
		span.percent[p] =
			cycles[p] / ((double)chip->multiprocessors * chip->max_mhz * 1e6 * (double)span.ns / 1e9) * 100;
	om_chip_executed(chip, &span, formats, &e->device_low, &e->device_high);
	e->meters |= 1u << OM_METER_DEVICE;
}

/* --- sampling --- */

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

struct population {
	double *value;
	size_t count;
};

/* The launches of one signature, one value each. */
static struct population population_of(const struct trace *t, int group)
{
	struct population p = { 0 };

	for (size_t i = 0; i < t->rows; i++)
		p.count += t->row[i].group == group ? t->row[i].count : 0;
	p.value = calloc(p.count + 1, sizeof(*p.value));
	p.count = 0;
	for (size_t i = 0; i < t->rows; i++)
		for (uint64_t n = 0; t->row[i].group == group && n < t->row[i].count; n++)
			p.value[p.count++] = t->row[i].flops;
	return p;
}

/* Without replacement: total and its variance (Cochran, Sampling Techniques, theorem 2.2 and 2.4). */
static void sample(struct population *p, uint64_t *state, double *ret_total, double *ret_variance)
{
	size_t n = p->count / SAMPLED_SHARE > SAMPLED_MIN ? p->count / SAMPLED_SHARE : SAMPLED_MIN;
	double mean = 0, m2 = 0;

	if (n > p->count)
		n = p->count;
	for (size_t i = 0; i < n; i++) {
		size_t j = i + next(state) % (p->count - i);
		double v = p->value[j], d = v - mean;

		p->value[j] = p->value[i];
		p->value[i] = v;
		mean += d / (double)(i + 1);
		m2 += d * (v - mean);
	}
	*ret_total += mean * (double)p->count;
	if (n > 1 && n < p->count)
		*ret_variance += (double)p->count * (double)(p->count - n) * m2 / (double)(n - 1) / (double)n;
}

static void counter_meter(const struct om_catalogue *c, const struct trace *t, struct om_evidence *e)
{
	uint64_t state = 1;

	e->meters |= 1u << OM_METER_COUNTER;
	for (int g = 0; g < t->groups; g++) {
		struct population p = population_of(t, g);
		struct om_kernel_estimate k = { 0 };
		bool is_wanted = false;

		for (size_t i = 0; i < t->rows; i++)
			if (t->row[i].group == g && strcmp(t->row[i].kind, "product")) {
				om_catalogue_estimate(c, &t->row[i].signature, &k);
				is_wanted = is_wide(&k);
			}
		if (is_wanted)
			sample(&p, &state, &e->sampled_mean, &e->sampled_variance);
		free(p.value);
	}
}

/* How often the nominal 95 % interval holds, if all of a run's kernels were only sampled. */
static int sampling_coverage(const struct trace *t, unsigned *ret_inside)
{
	struct population *p = calloc((size_t)t->groups, sizeof(*p));
	bool varies = false;

	*ret_inside = 0;
	for (int g = 0; g < t->groups; g++) {
		p[g] = population_of(t, g);
		for (size_t i = 1; p[g].count > SAMPLED_MIN && i < p[g].count; i++)
			varies |= p[g].value[i] != p[g].value[0];
	}
	for (uint64_t seed = 1; varies && seed <= SEEDS; seed++) {
		uint64_t state = seed * 0x51ed2701;
		double total = 0, variance = 0;

		for (int g = 0; g < t->groups; g++)
			sample(&p[g], &state, &total, &variance);
		*ret_inside += fabs(total - t->truth) <= 1.959964 * sqrt(variance) + t->truth * 1e-12;
	}
	for (int g = 0; g < t->groups; g++)
		free(p[g].value);
	free(p);
	return varies;
}

/* --- the table --- */

static void line(const struct trace *t, const char *meters, const struct om_evidence *e, double seen)
{
	struct om_interval i;
	double best = (double)e->attempted + ((double)e->launched_low + (double)e->launched_high) / 2 + e->sampled_mean;
	bool is_inside;

	om_reconcile(e, &i);
	is_inside = opcount_to_double(i.low) <= t->truth * (1 + 1e-9) &&
		    (!(i.is_bounded || i.is_complete) || opcount_to_double(i.high) >= t->truth * (1 - 1e-9));
	bad += !is_inside;
	printf("| %-28s | %-31s | %.5e | %.5e | %.5e%s | %+7.2f %% | %7.1f %% | %6.2f %% | %s |\n", t->name, meters, t->truth,
	       opcount_to_double(i.low), opcount_to_double(i.high), i.is_bounded ? " " : i.is_complete ? "~" : "+", (best / t->truth - 1) * 100,
	       (opcount_to_double(i.high) - opcount_to_double(i.low)) / t->truth * 100, seen / t->truth * 100,
	       is_inside ? "yes" : "NO");
}

static void trace_judge(const struct om_catalogue *c, const struct om_peaks *peaks, const struct trace *t)
{
	struct om_evidence e = { .meters = 1u << OM_METER_SHAPE, .attempted = shape_meter(t) };
	struct om_evidence full;
	double seen = (double)e.attempted, all;

	if (e.attempted != to_count(t->products)) {
		printf("%s: the shape meter's %.0f differ from the truth of products, %.0f\n", t->name, (double)e.attempted,
		       t->products);
		bad++;
	}
	line(t, "shape", &e, seen);
	full = e;
	launch_meter(c, t, false, &e, &seen);
	line(t, "shape, launch", &e, seen);
	device_meter(peaks, t, &e);
	line(t, "shape, launch, utilisation", &e, seen);
	all = (double)full.attempted;
	launch_meter(c, t, true, &full, &all);
	counter_meter(c, t, &full);
	all += full.sampled_mean;
	line(t, "shape, launch, counter *", &full, all);
	pipes_meter(peaks, t, &full);
	line(t, "shape, launch, counter, pipes *", &full, all);
}

static int by_time(const void *x, const void *y)
{
	const struct timed *a = x, *b = y;

	return a->ns < b->ns ? 1 : a->ns > b->ns ? -1 : strcmp(a->name, b->name);
}

/* What takes time and is bounded by nothing else, the longest first. */
static void unbounded(struct trace *t, FILE *to)
{
	uint64_t all = 0;

	qsort(t->timed, t->timed_count, sizeof(*t->timed), by_time);
	for (size_t i = 0; i < t->timed_count; i++)
		all += t->timed[i].ns;
	fprintf(to, "| %-28s | %6.2f %% | %zu | ", t->name, 100.0 * (double)all / (double)t->total_ns, t->timed_count);
	for (size_t i = 0; i < t->timed_count && i < UNBOUNDED_SHOWN; i++)
		fprintf(to, "%s`%.48s` (%s) %.2f %%", i ? ", " : "", t->timed[i].name,
			om_kernel_class_name(t->timed[i].estimate.class),
			100.0 * (double)t->timed[i].ns / (double)t->total_ns);
	fprintf(to, " |\n");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_data(const struct dirent *e)
{
	return strstr(e->d_name, ".tsv.gz") != NULL;
}

int main(int argc, char **argv)
{
	const char *dir = "tests/accuracy/data";
	struct om_catalogue *c = NULL;
	struct om_peaks *peaks = NULL;
	struct error_text err = { 0 };
	struct dirent **files;
	unsigned sum = 0, runs = 0;
	char *text = NULL;
	size_t size;
	FILE *list = open_memstream(&text, &size);
	int count;

	if (om_catalogue_load(argc > 1 ? argv[1] : "data/kernels.csv", &c, &err) ||
	    om_peaks_load("data/peaks.csv", &peaks, &err)) {
		fprintf(stderr, "accuracy: %s\n", err.text);
		return 2;
	}
	count = scandir(dir, &files, is_data, by_name);
	if (count < 1) {
		fprintf(stderr, "accuracy: %s: no runs\n", dir);
		return 2;
	}
	printf("| run | meters | truth | low | high | best | width | explained | inside |\n|---|---|---|---|---|---|---|---|---|\n");
	for (int i = 0; i < count; i++) {
		struct trace t;
		unsigned inside;

		if (trace_read(c, dir, files[i]->d_name, &t)) {
			fprintf(stderr, "accuracy: %s: cannot be read\n", files[i]->d_name);
			return 2;
		}
		trace_judge(c, peaks, &t);
		if (sampling_coverage(&t, &inside)) {
			fprintf(stderr, "%-28s nominal 95 %% interval held in %.2f %% of %d samplings\n", t.name,
				100.0 * inside / SEEDS, SEEDS);
			sum += inside;
			runs++;
		}
		unbounded(&t, list);
		free(t.timed);
		free(t.row);
		free(files[i]);
	}
	free(files);
	fclose(list);
	printf("\n+ no upper bound. ~ none either, but every kernel is bounded by its name. * the hardware's count is the recorded truth: confirmed by simulation "
	       "only.\n");
	printf("Samplings: %u runs x %d seeds with one in %d launches of a signature (%d at least): the nominal 95 %% interval held in "
	       "%.2f %%.\n",
	       runs, SEEDS, SAMPLED_SHARE, SAMPLED_MIN, runs ? 100.0 * sum / runs / SEEDS : 0);
	printf("\nKernels that are no counted product and whose name and grid tell no bound, by share of the run's device time:\n\n"
	       "| run | time | kernels | the longest |\n|---|---|---|---|\n%s",
	       text);
	free(text);
	om_catalogue_free(c);
	om_peaks_free(peaks);
	if (runs && (100.0 * sum / runs / SEEDS < 93 || 100.0 * sum / runs / SEEDS > 97)) {
		printf("The interval is not the 95 %% that it says.\n");
		bad++;
	}
	return bad ? 1 : 0;
}
