// SPDX-License-Identifier: Apache-2.0
#include "kit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/agent/elf_image.h"
#include "userspace/core/gemm_entries.h"

char kit_dir[48], kit_pins[64];

void kit_end(int code, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(code);
}

static void start(const char *dir)
{
	check(!unshare(CLONE_NEWNS), "unshare: %m");
	check(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private: %m");
	check(!mount("tmpfs", dir, "tmpfs", 0, NULL), "mount tmpfs: %m");
	snprintf(kit_dir, sizeof(kit_dir), "%s", dir);
	snprintf(kit_pins, sizeof(kit_pins), "%s/bpf", dir);
	check(!mkdir(kit_pins, 0700), "%s: %m", kit_pins);
	check(!mount("bpf", kit_pins, "bpf", 0, NULL), "mount bpf: %m");
}

const char *kit_library_path(const char *version, const char *name)
{
	static char path[PATH_MAX];
	const char *home = getenv("HOME");
	const char *cache = getenv("OPMETER_CACHE");

	if (cache)
		snprintf(path, sizeof(path), "%s/cuda/%s/%s", cache, version, name);
	else
		snprintf(path, sizeof(path), "%s/.cache/opmeter/cuda/%s/%s", home ? home : "/root", version,
			 name);
	if (access(path, R_OK))
		skip("%s is not there", path);
	return path;
}

/* What `opmeter prove` finds for 12.9 and 13.10. */
static const struct om_offsets offsets = {
	.layout_size = 40,
	.layout_type = 0,
	.layout_rows = 8,
	.layout_cols = 16,
	.layout_batch = 32,
	.layout_mode = 36,
	.desc_size = 28,
	.desc_compute = 8,
	.desc_transa = 20,
	.desc_transb = 24,
};

static void describe_entries(struct elf_image *img, struct library *lib)
{
	struct error_text err = {};
	struct elf_exports x = {};
	int rc = elf_image_exports(img, "cublas", &x, &err);

	check(!rc, "%s: %s", lib->open_path, err.text);
	for (size_t i = 0; i < om_gemm_entry_count; i++) {
		const struct elf_export *e = elf_exports_find(&x, om_gemm_entries[i].symbol);

		if (!e)
			continue;
		lib->entries[lib->entry_count++] = (struct library_entry){ .entry = (uint16_t)i,
									   .vaddr = e->vaddr,
									   .file_offset = e->offset };
		lib->kind |=
			om_gemm_entries[i].library == OM_GEMM_IN_CUBLAS ? LIBRARY_CUBLAS : LIBRARY_CUBLASLT;
	}
	elf_exports_done(&x);
}

void kit_describe(const char *path, struct library *lib)
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct elf_range *text;
	struct error_text err = {};
	struct stat st;
	size_t count;
	int rc;

	memset(lib, 0, sizeof(*lib));
	check(fd >= 0 && !fstat(fd, &st), "%s: %m", path);
	rc = elf_image_open(fd, &img, &err);
	check(!rc, "%s: %s", path, err.text);
	snprintf(lib->open_path, sizeof(lib->open_path), "%s", path);
	snprintf(lib->display_path, sizeof(lib->display_path), "%s", path);
	lib->dev = st.st_dev;
	lib->ino = st.st_ino;
	text = elf_image_text(img, &count);
	check(count, "%s: no text", path);
	lib->text_start = text[0].vaddr;
	lib->text_end = text[count - 1].vaddr + text[count - 1].size;
	describe_entries(img, lib);
	lib->offsets = offsets;
	lib->is_proven = true;
}

const char *kit_driver_path(void)
{
	const char *cache = getenv("OPMETER_CACHE"), *home = getenv("HOME");
	static char path[PATH_MAX];
	glob_t found = {};

	if (getenv("OPMETER_DRIVER"))
		return getenv("OPMETER_DRIVER");
	snprintf(path, sizeof(path), "%s%s/gpu/driver/usr/lib/*/nvidia/current/libcuda.so.[0-9]*.*",
		 cache ? cache : home ? home : "", cache ? "" : "/.cache/opmeter");
	if (glob(path, 0, NULL, &found) && glob("/usr/lib/*/libcuda.so.[0-9]*.*", 0, NULL, &found))
		skip("no library of the driver: CONTRIBUTING.md says where one comes from");
	snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
	globfree(&found);
	return path;
}

void kit_keep_entries(struct library *lib, const char *const *symbols)
{
	size_t kept = 0;

	for (size_t i = 0; i < lib->entry_count; i++)
		for (const char *const *s = symbols; *s; s++)
			if (!strcmp(*s, om_gemm_entries[lib->entries[i].entry].symbol))
				lib->entries[kept++] = lib->entries[i];
	lib->entry_count = kept;
}

struct blas kit_load_path(const char *path)
{
	struct blas b = {};

	kit_describe(path, &b.lib);
	b.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	check(b.handle, "%s", dlerror());
	return b;
}

struct blas kit_load(const char *version, const char *name)
{
	return kit_load_path(kit_library_path(version, name));
}

struct blas kit_load_built(const char *name)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	char path[PATH_MAX], *full;
	struct blas b;

	snprintf(path, sizeof(path), "%s/tests/bpf/%s", build, name);
	full = realpath(path, NULL);
	check(full, "%s: %m", path);
	b = kit_load_path(full);
	free(full);
	return b;
}

struct probes *kit_open(const struct probes_config *more)
{
	struct probes_config c = more ? *more : (struct probes_config){};
	static char dir[sizeof(kit_pins) + 8];
	struct error_text err = {};
	struct probes *p = NULL;
	int rc;

	snprintf(dir, sizeof(dir), "%s/om", kit_pins);
	c.pin_dir = dir;
	rc = probes_open(&c, &p, &err);
	check(!rc, "probes_open: %d, %s", rc, err.text);
	return p;
}

void kit_attach(struct probes *p, const struct library *lib)
{
	struct error_text err = {};
	int rc = probes_attach(p, lib, NULL, &err);

	check(!rc, "probes_attach: %d, %s", rc, err.text);
}

void *kit_symbol(const struct blas *b, const char *symbol)
{
	void *f = dlsym(b->handle, symbol);

	check(f, "%s", dlerror());
	return f;
}

void kit_call(void *function, const uint64_t a[KIT_ARGS])
{
	int (*f)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) = function;

	f(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
	  a[15], a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23]);
}

void kit_sgemm(void *function, int m, int n, int k)
{
	int (*f)(void *, int, int, int, int, int, const float *, const float *, int, const float *, int,
		 const float *, float *, int) = function;

	f(NULL, 0, 0, m, n, k, NULL, NULL, 1, NULL, 1, NULL, NULL, 1);
}

/* --- cublasLtMatmul --- */

static void *layout_new(struct blas *b, int type, uint64_t rows, uint64_t cols, int batch)
{
	int (*create)(void **, int, uint64_t, uint64_t, int64_t) =
		kit_symbol(b, "cublasLtMatrixLayoutCreate");
	void *layout = NULL;
	int rc = create(&layout, type, rows, cols, (int64_t)rows);

	check(!rc && layout, "cublasLtMatrixLayoutCreate: %d", rc);
	if (batch != 1)
		kit_lt_set(b, true, layout, 5, &batch, sizeof(batch));
	return layout;
}

void kit_lt_set(struct blas *b, bool is_layout, void *object, int attribute, const void *value, size_t size)
{
	int (*set)(void *, int, const void *, size_t) = kit_symbol(
		b, is_layout ? "cublasLtMatrixLayoutSetAttribute" : "cublasLtMatmulDescSetAttribute");
	int rc = set(object, attribute, value, size);

	check(!rc, "attribute %d: %d", attribute, rc);
}

struct lt kit_lt(struct blas *b, int a_type, int b_type, int d_type, int compute, bool ta, bool tb,
		 uint64_t m, uint64_t n, uint64_t k, int batch)
{
	int (*create)(void **, int, int) = kit_symbol(b, "cublasLtMatmulDescCreate");
	struct lt lt = { .blas = b, .matmul = kit_symbol(b, "cublasLtMatmul") };
	int one = 1;

	check(!create(&lt.desc, compute, 0), "cublasLtMatmulDescCreate");
	if (ta)
		kit_lt_set(b, false, lt.desc, 3, &one, sizeof(one));
	if (tb)
		kit_lt_set(b, false, lt.desc, 4, &one, sizeof(one));
	lt.a = layout_new(b, a_type, ta ? k : m, ta ? m : k, batch);
	lt.b = layout_new(b, b_type, tb ? n : k, tb ? k : n, batch);
	lt.c = layout_new(b, d_type, m, n, batch);
	lt.d = layout_new(b, d_type, m, n, batch);
	return lt;
}

void kit_lt_call(const struct lt *lt)
{
	int (*f)(void *, void *, void *, void *, void *, void *, void *, void *, void *, void *, void *,
		 void *, void *, void *, size_t, void *) = lt->matmul;

	f(NULL, lt->desc, NULL, NULL, lt->a, NULL, lt->b, NULL, NULL, lt->c, NULL, lt->d, NULL, NULL, 0,
	  NULL);
}

/* --- processes --- */

/* The processes of this test: on a machine where others use the same libraries,
 * the meter sees them too. */
static pid_t own[4096];
static size_t own_count;

pid_t kit_spawn(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	check(pid >= 0, "fork: %m");
	if (pid) {
		check(own_count < ARRAY_SIZE(own), "too many processes");
		own[own_count++] = pid;
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
	fn(arg);
	fflush(NULL);
	_exit(0);
}

void kit_wait(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid: %m");
	check(WIFEXITED(status) && !WEXITSTATUS(status), "a child ended with status 0x%x", status);
}

pid_t kit_run(void (*fn)(void *arg), void *arg)
{
	pid_t pid = kit_spawn(fn, arg);

	kit_wait(pid);
	return pid;
}

uint64_t kit_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void kit_sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* --- counts --- */

static bool is_own(uint32_t tgid)
{
	for (size_t i = 0; i < own_count; i++)
		if ((uint32_t)own[i] == tgid)
			return true;
	return !tgid; /* a cgroup's spill */
}

#define KEEP_OWN(array, count)                                                                               \
	do {                                                                                                 \
		size_t kept = 0;                                                                             \
		for (size_t i = 0; i < (count); i++)                                                         \
			if (is_own((array)[i].tgid))                                                         \
				(array)[kept++] = (array)[i];                                                \
		(count) = kept;                                                                              \
	} while (0)

void kit_read(struct drain *d, bool with_shapes, struct drain_result *r)
{
	static size_t dead[ARRAY_SIZE(own)];
	int rc = drain_read(d, with_shapes, r);

	check(!rc, "drain_read: %s", strerror(-rc));
	KEEP_OWN(r->usage, r->usage_count);
	KEEP_OWN(r->shapes, r->shape_count);
	KEEP_OWN(r->processes, r->process_count);
	r->dead = dead;
	r->dead_count = 0;
	for (size_t i = 0; i < r->process_count; i++)
		if (r->processes[i].exit_ns)
			dead[r->dead_count++] = i;
}

struct totals kit_totals(struct drain *d, pid_t pid)
{
	struct drain_result r;
	struct totals t = {};

	kit_read(d, true, &r);
	for (size_t i = 0; i < r.usage_count; i++) {
		const struct om_usage *u = &r.usage[i];

		if (pid && u->tgid != (uint32_t)pid)
			continue;
		t.calls += u->now.calls;
		t.nested += u->now.nested;
		t.duplicates += u->now.duplicates;
		t.overflow_calls += u->now.overflow_calls;
		t.ops += u->now.exact;
		for (size_t c = 0; c < OM_LOSS_END; c++)
			t.lost[c] += u->now.lost[c];
	}
	t.processes = r.process_count;
	t.dead = r.dead_count;
	return t;
}

uint64_t kit_shape_calls(const struct drain_result *r, pid_t pid, uint64_t m, uint64_t n, uint64_t k,
			 uint64_t batch)
{
	uint64_t calls = 0;

	for (size_t i = 0; i < r->shape_count; i++) {
		const struct om_shape_usage *s = &r->shapes[i];

		if ((!pid || s->tgid == (uint32_t)pid) && s->m == m && s->n == n && s->k == k &&
		    s->batch == batch)
			calls += s->calls;
	}
	return calls;
}

/* In a child: what is mounted and pinned goes with it, and we remove the directory. */
static int run(const struct kit_test *t)
{
	char dir[] = "/tmp/opmeter-test-XXXXXX";
	int status = 0;
	pid_t pid;

	if (geteuid())
		skip("needs root");
	check(mkdtemp(dir), "mkdtemp: %m");
	pid = fork();
	check(pid >= 0, "fork: %m");
	if (!pid) {
		own[own_count++] = getpid();
		start(dir);
		t->run();
		printf("%s: pass\n", t->name);
		fflush(NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	rmdir(dir);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "%s: ended by signal %d\n", t->name, WTERMSIG(status));
	return 1;
}

int kit_main(int argc, char **argv, const struct kit_test *tests)
{
	if (getenv("VERBOSE"))
		log_set_level(LOG_DEBUG);
	for (const struct kit_test *t = tests; argc == 2 && t->name; t++)
		if (!strcmp(t->name, argv[1]))
			return run(t);
	fprintf(stderr, "usage: %s TEST; the tests are:", argv[0]);
	for (const struct kit_test *t = tests; t->name; t++)
		fprintf(stderr, " %s", t->name);
	fputc('\n', stderr);
	return 2;
}
