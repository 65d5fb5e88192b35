// SPDX-License-Identifier: Apache-2.0
/*
 * A tenant for the collector's tests, on the simulated GPU: does what it is told on stdin, one command a
 * line, and says "ok" after each.
 *
 *     inject FILE              load the collector, as the driver does in cuInit()
 *     kernel NAME METRIC OPS STEP
 *     run MS THREADS NAME GRID [captured|failing|slow|graph]   launch all that time, in each thread
 *     start NAME GRID          launch in the background, slowly, until the end
 *     subscribe, unsubscribe   the tenant's own profiler
 *     finalize                 cuptiFinalize()
 *     destroy                  end the context; a new one is used after
 *     unload                   dlclose() the collector, three times
 *     fork                     a child launches for 50 ms and ends; says its exit status
 *     bench N                  ns a launch
 *     forge FILE WHAT          call the site of readings with a made-up one
 *     state                    what the simulated CUPTI has seen
 *     exit                     exit() at once, whatever runs
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../userspace/agent/elf_notes.h"
#include "../../userspace/cupti/abi.h"
#include "../../userspace/cupti/metrics.h"
#include "../../bpf/counter.h"

static int (*launch)(uint32_t, const void *, const char *, void *, int (*)(void *), void *, bool);
static void (*kernel)(const char *, const char *, double, double);
static void (*context_destroy)(void *);
static uint64_t (*violations)(void);
static unsigned (*calls)(const char *);
static bool (*has_subscriber)(void);
static int (*subscribe)(void **, cupti_callback *, void *);
static int (*unsubscribe)(void *);
static int (*finalize)(void);
static int (*begin_capture)(void *, unsigned), (*end_capture)(void *, void **);
static void *collector, *subscriber;
static _Atomic(uintptr_t) context = 0x1000;
static atomic_ulong launched;

struct work {
	uint64_t until_ns; /* 0: for ever */
	char name[128], how[16];
	unsigned grid;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_us(unsigned us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000L }, NULL);
}

static int fail(void *arg)
{
	(void)arg;
	return 1;
}

/* A launch in a window takes its time, so that what ends the tenant ends it there. */
static int dawdle(void *arg)
{
	(void)arg;
	if (calls("cuptiRangeProfilerStart") > calls("cuptiRangeProfilerStop"))
		sleep_us(30000);
	return 0;
}

static void launch_one(const struct work *w, unsigned turn)
{
	struct cupti_launch_params p = { .grid = { w->grid, 2, 1 }, .block = { 128, 1, 1 }, .shared_bytes = 64 };
	struct cupti_launch_config c = { .grid = { w->grid, 2, 1 }, .block = { 128, 1, 1 }, .shared_bytes = 64 };
	struct cupti_launch_ex_params x = { .config = &c };
	bool is_captured = !strcmp(w->how, "captured");
	int (*call)(void *) = !strcmp(w->how, "failing") ? fail : !strcmp(w->how, "slow") ? dawdle : NULL;
	uint32_t cbid = turn % 2 ? CUPTI_CBID_LAUNCH_KERNEL : CUPTI_CBID_LAUNCH_KERNEL_EX;

	if (is_captured)
		p.stream = c.stream = (void *)2; /* of the thread, which captures */
	if (!strcmp(w->how, "graph"))
		launch(CUPTI_CBID_GRAPH_LAUNCH, NULL, NULL, (void *)context, fail, NULL, true);
	else
		launch(cbid, cbid == CUPTI_CBID_LAUNCH_KERNEL ? (void *)&p : (void *)&x, w->name,
		       (void *)atomic_load(&context), call, NULL, is_captured);
	atomic_fetch_add(&launched, 1);
}

static void *work_main(void *arg)
{
	const struct work *w = arg;
	bool is_captured = !strcmp(w->how, "captured");
	void *graph;

	if (is_captured && begin_capture((void *)2, 0))
		abort();
	for (unsigned turn = 0; !w->until_ns || now_ns() < w->until_ns; turn++) {
		launch_one(w, turn);
		sleep_us(20);
	}
	/* A profiler's call in this time would have broken the capture. */
	if (is_captured && end_capture((void *)2, &graph))
		abort();
	return NULL;
}

static void run(unsigned ms, unsigned threads, struct work *w)
{
	pthread_t t[16];

	w->until_ns = now_ns() + ms * 1000000ull;
	for (unsigned i = 0; i < threads && i < 16; i++)
		pthread_create(&t[i], NULL, work_main, w);
	for (unsigned i = 0; i < threads && i < 16; i++)
		pthread_join(t[i], NULL);
}

static void *idle_main(void *arg)
{
	pause();
	return arg;
}

/* With a second thread in any case, as every CUDA process has several: libc's locks are cheaper without. */
static void bench(unsigned count)
{
	struct work w = { .name = "bench", .grid = 1 };
	static pthread_t idle;
	uint64_t from;

	if (!idle)
		pthread_create(&idle, NULL, idle_main, NULL);
	from = now_ns();
	for (unsigned i = 0; i < count; i++)
		launch_one(&w, 0);
	printf("%.1f\n", (double)(now_ns() - from) / count);
}

static void child(void)
{
	struct work w = { .name = "child", .grid = 1 };
	int status;
	pid_t pid = fork();

	if (!pid) {
		run(50, 1, &w);
		exit(7);
	}
	waitpid(pid, &status, 0);
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* --- forgery: the nop of the site, called as a function --- */

static void (*site_of(const char *file))(const void *)
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	struct elf_probe probes[8];
	const struct elf_range *text;
	struct link_map *map;
	size_t count, ranges;
	int fd = open(file, O_RDONLY);
	void *handle = dlopen(file, RTLD_NOW);

	if (fd < 0 || !handle || dlinfo(handle, RTLD_DI_LINKMAP, &map) || elf_image_open(fd, &img, NULL) ||
	    elf_image_probes(img, OM_COUNTER_PROVIDER, probes, 8, &count, NULL))
		abort();
	text = elf_image_text(img, &ranges);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(probes[i].name, OM_COUNTER_READING_SITE) && probes[i].offset >= text->offset)
			return (void (*)(const void *))(map->l_addr + text->vaddr + probes[i].offset - text->offset);
	abort();
}

static void forge(const char *file, const char *what)
{
	void (*site)(const void *) = site_of(file);
	struct om_counter_reading r = { .version = OM_COUNTER_WIRE,
					.size = sizeof(r),
					.name = 0xf0f0,
					.grid = { 1, 1, 1 },
					.block = { 1, 1, 1 },
					.metric = COUNTER_METRIC(COUNTER_CHIP_GH100, 4, 0, 1, 0),
					.count = 2,
					.sum = 2000,
					.min = 900,
					.max = 1100,
					.deviation = 100 };

	if (!strncmp(what, "as=", 3)) { /* a kernel that others have, of fewer operations */
		r.name = strtoull(what + 3, NULL, 16);
		r.grid[0] = 3, r.grid[1] = 2, r.block[0] = 128, r.shared = 64;
		r.count = 1000000, r.sum = 10000000, r.min = r.max = 10, r.deviation = 0;
	} else if (!strcmp(what, "absurd"))
		r.max = r.sum = UINT64_MAX;
	else if (!strcmp(what, "negative"))
		r.min = r.sum = r.max = (uint64_t)-1000;
	else if (!strcmp(what, "decreasing"))
		r.count = 1, r.sum = r.min = r.max = 1000, r.deviation = 0;
	else if (!strcmp(what, "shrinking")) /* more launches, fewer operations */
		r.count = 3, r.sum = 1990, r.min = 600;
	else if (!strcmp(what, "jump")) /* more in one launch than the greatest */
		r.count = 3, r.sum = 3200;
	else if (!strcmp(what, "deviation"))
		r.deviation = 5000;
	else if (!strcmp(what, "metric"))
		r.metric = COUNTER_METRIC(1, 4, 3, 2, 0);
	else if (!strcmp(what, "version"))
		r.version = 9;
	else if (!strcmp(what, "flood"))
		for (unsigned i = 0; i < 1000; i++) {
			r.grid[0] = i + 10;
			site(&r);
		}
	site(!strcmp(what, "pointer") ? (void *)8 : &r);
}

/* --- commands --- */

static void *symbol(const char *library, const char *name)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
	void *at = handle ? dlsym(handle, name) : NULL;

	if (!at) {
		printf("no %s in %s: %s\n", name, library, dlerror());
		exit(2);
	}
	return at;
}

static void symbols_find(void)
{
	const char *cupti = getenv("TENANT_CUPTI") ? getenv("TENANT_CUPTI") : "libcupti.so.13";

	begin_capture = symbol("libcuda.so.1", "cuStreamBeginCapture_v2");
	end_capture = symbol("libcuda.so.1", "cuStreamEndCapture");
	launch = symbol(cupti, "simcupti_launch");
	kernel = symbol(cupti, "simcupti_kernel");
	context_destroy = symbol(cupti, "simcupti_context_destroy");
	violations = symbol(cupti, "simcupti_violations");
	calls = symbol(cupti, "simcupti_calls");
	has_subscriber = symbol(cupti, "simcupti_has_subscriber");
	subscribe = symbol(cupti, "cuptiSubscribe");
	unsubscribe = symbol(cupti, "cuptiUnsubscribe");
	finalize = symbol(cupti, "cuptiFinalize");
}

static int inject(const char *file)
{
	int (*start)(void);

	collector = dlopen(file, RTLD_NOW);
	start = collector ? (int (*)(void))dlsym(collector, "InitializeInjection") : NULL;
	return start && start() == 1 ? 0 : -1;
}

static void nothing(void *user, int domain, uint32_t cbid, const void *data)
{
	(void)user, (void)domain, (void)cbid, (void)data;
}

static void state_print(void)
{
	printf("{\"violations\": %" PRIu64 ", \"subscriber\": %s, \"subscribes\": %u, \"starts\": %u, \"stops\": %u, "
	       "\"enables\": %u, \"disables\": %u, \"launched\": %lu}\n",
	       violations(), has_subscriber() ? "true" : "false", calls("cuptiSubscribe"),
	       calls("cuptiRangeProfilerStart"), calls("cuptiRangeProfilerStop"), calls("cuptiRangeProfilerEnable"),
	       calls("cuptiRangeProfilerDisable"), atomic_load(&launched));
}

static int obey_name(const char *verb)
{
	if (!strcmp(verb, "subscribe"))
		return subscribe(&subscriber, nothing, NULL);
	if (!strcmp(verb, "unsubscribe"))
		return unsubscribe(subscriber);
	if (!strcmp(verb, "finalize"))
		return finalize();
	if (!strcmp(verb, "destroy"))
		context_destroy((void *)atomic_fetch_add(&context, 0x1000));
	else if (!strcmp(verb, "unload"))
		for (int i = 0; i < 3; i++)
			dlclose(collector);
	else if (!strcmp(verb, "fork"))
		child();
	else if (!strcmp(verb, "state"))
		state_print();
	else if (!strcmp(verb, "exit"))
		exit(0);
	else
		return -1;
	return 0;
}

static int obey(char *line)
{
	static struct work background;
	struct work w = {};
	char text[2][512];
	double ops, step;
	unsigned ms, threads;
	pthread_t t;

	if (sscanf(line, "kernel %127s %511s %lf %lf", w.name, text[0], &ops, &step) == 4)
		kernel(w.name, text[0], ops, step);
	else if (sscanf(line, "run %u %u %127s %u %15s", &ms, &threads, w.name, &w.grid, w.how) >= 4)
		run(ms, threads, &w);
	else if (sscanf(line, "start %127s %u %15s", background.name, &background.grid, background.how) >= 2)
		return pthread_create(&t, NULL, work_main, &background);
	else if (sscanf(line, "inject %511s", text[0]) == 1)
		return inject(text[0]);
	else if (sscanf(line, "forge %511s %511s", text[0], text[1]) == 2)
		forge(text[0], text[1]);
	else if (sscanf(line, "bench %u", &ms) == 1)
		bench(ms);
	else
		return obey_name(line);
	return 0;
}

int main(void)
{
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	symbols_find();
	while (fgets(line, sizeof(line), stdin)) {
		int rc;

		line[strcspn(line, "\n")] = '\0';
		rc = obey(line);
		rc ? printf("error %d\n", rc) : printf("ok\n");
	}
	return 0;
}
