// SPDX-License-Identifier: Apache-2.0
#include "player.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/cleanup.h"
#include "userspace/base/exit_code.h"
#include "userspace/base/options.h"

struct options {
	const char *lib_dir, *run, *trans, *report, *cgroup, *seconds, *nccl, *driver;
	struct option_list products, vias, kernels;
	uint64_t launches, calls, repeat, threads, rate, wait_ms, rank, ranks;
	bool as_recorded;
};

static void on_signal(int sig)
{
	play_stop();
}

static int move_to_cgroup(const char *dir, struct error_text *err)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int read_program(const struct options *o, struct program *p, struct error_text *err)
{
	if (!o->run == !o->products.count)
		return error_set(err, -EINVAL, "give either --run FILE or --product");
	if (o->run) {
		const char *slash = strrchr(o->run, '/');

		snprintf(p->name, sizeof(p->name), "%.63s", slash ? slash + 1 : o->run);
		return program_read(o->run, p, err);
	}
	snprintf(p->name, sizeof(p->name), "products");
	for (size_t i = 0; i < o->products.count; i++) {
		struct product product;
		int r = program_parse_product(o->products.item[i], &product);

		if (!r)
			r = program_add(p, &product, 1);
		if (r)
			return error_set(err, r,
					 "--product '%s': not batch,m,n,k,types (types: eight hex digits)",
					 o->products.item[i]);
	}
	return 0;
}

/* The entries that are asked for: each product goes by all of them in turn. */
static int find_vias(const struct options *o, const struct via **ret, size_t *ret_n, bool *ret_needs_blas,
		     struct error_text *err)
{
	*ret_n = o->vias.count ? o->vias.count : 1;
	ret[0] = via_find("lt");
	for (size_t i = 0; i < o->vias.count; i++) {
		ret[i] = via_find(o->vias.item[i]);
		if (!ret[i])
			return error_set(err, -EINVAL,
					 "--via '%s': none of lt, gemmex, gemmex64, stridedbatched, batched, "
					 "grouped, sgemm, dgemm, cgemm, zgemm, hgemm, sgemm_v1",
					 o->vias.item[i]);
		*ret_needs_blas |= ret[i]->is_blas;
	}
	return 0;
}

struct stage {
	struct call *calls;
	size_t n_calls;
	uint32_t *order;
	uint8_t *thread;
	struct buffers *buffers; /* NULL: none are known */
	size_t n_order;
	unsigned threads;
};

static void take_position(struct stage *s, size_t i, uint32_t call, uint8_t thread)
{
	s->order[i] = call;
	s->thread[i] = thread;
	if (s->threads <= thread)
		s->threads = thread + 1u;
}

/* With several entries the order is repeated for each of them. */
static int prepare(const struct options *o, const struct program *p, struct stage *s, struct error_text *err)
{
	const struct via *v[OPTION_LIST_MAX];
	struct libraries libs;
	bool needs_blas = false;
	size_t n;
	int r = find_vias(o, v, &n, &needs_blas, err);

	if (!r)
		r = libraries_load(o->lib_dir, needs_blas, &libs, err);
	if (r)
		return r;
	s->n_calls = n * p->n_products;
	s->n_order = n * p->n_order;
	s->calls = calloc(s->n_calls, sizeof(*s->calls));
	s->order = malloc(s->n_order * sizeof(*s->order));
	s->thread = malloc(s->n_order);
	s->buffers = p->buffers ? malloc(s->n_order * sizeof(*s->buffers)) : NULL;
	if (!s->calls || !s->order || !s->thread || (p->buffers && !s->buffers))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < p->n_products && !r; k++)
			r = call_prepare(&libs, v[i], &p->product[k], o->trans,
					 &s->calls[i * p->n_products + k], err);
		for (size_t k = 0; k < p->n_order; k++)
			take_position(s, i * p->n_order + k, (uint32_t)(i * p->n_products) + p->order[k],
				      p->thread[k]);
		if (p->buffers)
			memcpy(&s->buffers[i * p->n_order], p->buffers, p->n_order * sizeof(*p->buffers));
	}
	return r;
}

static int configure(const struct options *o, const struct stage *s, struct play_config *ret,
		     struct error_text *err)
{
	double seconds = 0;
	char *end;

	if (o->seconds) {
		seconds = strtod(o->seconds, &end);
		if (*end || end == o->seconds || !(seconds > 0) || seconds > 1e6)
			return error_set(err, -EINVAL, "--seconds '%s': not a time", o->seconds);
	}
	if (o->as_recorded && o->threads != 1)
		return error_set(err, -EINVAL, "--threads: as recorded there are as many as there were");
	if (!o->threads || o->threads > 4096)
		return error_set(err, -EINVAL, "--threads: 1 to 4096");
	*ret = (struct play_config){ .threads = o->as_recorded ? s->threads : (unsigned)o->threads,
				     .thread = o->as_recorded ? s->thread : NULL,
				     .buffers = s->buffers,
				     .rate = o->rate,
				     .time_ns = (uint64_t)(seconds * 1e9),
				     .calls = o->calls };
	if (!o->calls && __builtin_mul_overflow(s->n_order, o->repeat, &ret->calls))
		return error_set(err, -EINVAL, "--repeat: too often");
	if (!o->calls && o->seconds && o->repeat == 1)
		ret->calls = UINT64_MAX;
	return 0;
}

static void wait_ms(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };

	nanosleep(&t, NULL);
}

static int run(const struct options *o, struct error_text *err)
{
	_cleanup_(program_done) struct program p = { 0 };
	struct stage s = { 0 };
	struct launches l = { 0 };
	void *nccl = NULL;
	struct play_config config;
	struct tally t;
	int r = read_program(o, &p, err);

	if (!r && o->cgroup)
		r = move_to_cgroup(o->cgroup, err);
	if (!r)
		r = prepare(o, &p, &s, err);
	if (!r)
		r = configure(o, &s, &config, err);
	if (!r && o->nccl && o->run)
		r = collectives_load(o->nccl, &nccl, err);
	if (!r && o->kernels.count && !o->driver)
		r = error_set(err, -EINVAL, "--launch: give the --driver, too");
	if (r)
		return r;
	if (o->driver)
		r = launches_load(o->driver, &l, err);
	if (r)
		return r;
	wait_ms(o->wait_ms);
	for (size_t i = 0; i < o->kernels.count && !r; i++)
		r = launches_play(&l, o->kernels.item[i], (unsigned)o->launches, err);
	if (r)
		return r;
	r = nccl && o->ranks ? collectives_join(nccl, (int)o->rank, (int)o->ranks) : 0;
	if (!r)
		r = nccl ? collectives_play(nccl, o->run, err) : 0;
	if (r)
		return r;
	r = play(&config, s.calls, s.n_calls, s.order, s.n_order, &t);
	return r ? r : report_write(o->report, &p, s.calls, s.n_calls, &t, err);
}

int main(int argc, char **argv)
{
	struct options o = { .trans = "NN", .report = "-", .repeat = 1, .threads = 1, .launches = 16, .lib_dir = "." };
	const struct option table[] = {
		{ "lib-dir", "DIR", OPTION_STRING, &o.lib_dir,
		  "where libcublasLt.so.N and libcublas.so.N are (.)" },
		{ "run", "FILE", OPTION_STRING, &o.run, "a recorded run: docs/formats.md, plain or gzip" },
		{ "product", "B,M,N,K,TYPES", OPTION_STRINGS, &o.products, "a product; may be repeated" },
		{ "via", "ENTRY", OPTION_STRINGS, &o.vias,
		  "lt, gemmex, stridedbatched, sgemm, ...; may be repeated (lt)" },
		{ "trans", "AB", OPTION_STRING, &o.trans, "transposition: NN, TN, NT, TT (NN)" },
		{ "calls", "N", OPTION_UINT, &o.calls, "end after N calls in all" },
		{ "repeat", "N", OPTION_UINT, &o.repeat, "or after the whole was played N times (1)" },
		{ "seconds", "S", OPTION_STRING, &o.seconds, "or when the time is up; then plays on and on" },
		{ "rate", "N", OPTION_UINT, &o.rate, "calls a second, all threads together (0: no limit)" },
		{ "threads", "N", OPTION_UINT, &o.threads, "that share the calls (1)" },
		{ "as-recorded", NULL, OPTION_FLAG, &o.as_recorded,
		  "by as many threads as the run has, each product by its own, in strict order" },
		{ "wait-ms", "MS", OPTION_UINT, &o.wait_ms,
		  "between loading the libraries and the first call (0)" },
		{ "cgroup", "DIR", OPTION_STRING, &o.cgroup,
		  "move into this cgroup2 directory before loading" },
		{ "nccl", "FILE", OPTION_STRING, &o.nccl,
		  "also ask this libnccl for the run's all-reduces, before its products" },
		{ "rank", "N", OPTION_UINT, &o.rank, "with --nccl and --ranks: this process's (0)" },
		{ "ranks", "N", OPTION_UINT, &o.ranks,
		  "with --nccl: of a communicator that is made first, its id from NCCL_COMM_ID (0: none)" },
		{ "driver", "FILE", OPTION_STRING, &o.driver, "libcuda.so.1, for --launch" },
		{ "launch", "NAME", OPTION_STRINGS, &o.kernels,
		  "launch a kernel of this name before the products; may be repeated" },
		{ "launches", "N", OPTION_UINT, &o.launches, "of each of them (16)" },
		{ "report", "FILE", OPTION_STRING, &o.report, "JSON of what was asked for (-: stdout)" },
		{ 0 },
	};
	const struct option_spec spec = {
		"player", NULL,
		"Play matrix products into the real cuBLAS libraries. SIGTERM ends it in order.", table, NULL
	};
	struct error_text err = { "" };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	r = run(&o, &err);
	if (r)
		log_error("player: %s", err.text[0] ? err.text : strerror(-r));
	/* The vendor's destructors have nothing to tidy up for us, and take their time. */
	fflush(NULL);
	_exit(r ? EXIT_FAILED : EXIT_OK);
}
