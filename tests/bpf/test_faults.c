// SPDX-License-Identifier: Apache-2.0
/*
 * What a tenant may hand over: descriptors that fault, sizes that make no sense,
 * pages that are not in memory. Every call is either counted or counted as lost.
 */
#include "kit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"

enum { BF16 = 14, FP32 = 0, COMPUTE_32F = 68 };

static struct blas lt_lib, cublas;

static void start(struct probes **p, struct drain **d)
{
	static const char *const wide[] = { "cublasSgemm_v2", "cublasSgemm_v2_64",
					    "cublasSgemmGroupedBatched", NULL };

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	cublas = kit_load("13.10.0.20", "libcublas.so.13");
	kit_keep_entries(&cublas.lib, wide);
	*p = kit_open(NULL);
	kit_attach(*p, &lt_lib.lib);
	kit_attach(*p, &cublas.lib);
	check(!drain_new(*p, d), "drain_new");
}

static void bad_pointers(void *arg)
{
	struct lt good = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, false, false, 16, 32, 64, 1);
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct lt bad;

	check(page != MAP_FAILED && !mprotect(page + 4096, 4096, PROT_NONE), "mmap: %m");
	for (int i = 0; i < 11; i++) {
		bad = good;
		bad.a = (void *)8;
		kit_lt_call(&bad);
		bad = good;
		bad.desc = page + 4096 - 8; /* runs into a page that cannot be read */
		kit_lt_call(&bad);
		bad = good;
		bad.d = (void *)0xffff888000000000; /* the kernel's */
		kit_lt_call(&bad);
		bad = good;
		bad.b = NULL;
		kit_lt_call(&bad);
	}
}

static void bad_shapes(void *arg)
{
	struct lt a = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, false, false, 16, 32, 64, 1);
	struct lt b = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, false, false, 16, 32, 65, 1);
	struct lt mixed = a;

	mixed.b = b.b; /* K is 64 in A and 65 in B */
	for (int i = 0; i < 13; i++)
		kit_lt_call(&mixed);
}

static void grouped_on_device(void *arg)
{
	int (*create)(void **, int, int, const void *, const void *, const void *) =
		kit_symbol(&lt_lib, "cublasLtGroupedMatrixLayoutCreate");
	struct lt lt = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, false, false, 16, 32, 64, 1);
	void **layout[] = { &lt.a, &lt.b, &lt.c, &lt.d };

	for (size_t i = 0; i < ARRAY_SIZE(layout); i++)
		check(!create(layout[i], BF16, 5, (void *)0x1000, (void *)0x2000, (void *)0x3000),
		      "grouped layout");
	for (int i = 0; i < 17; i++)
		kit_lt_call(&lt);
}

static void odd_sizes(void *arg)
{
	void *narrow = kit_symbol(&cublas, "cublasSgemm_v2"),
	     *wide = kit_symbol(&cublas, "cublasSgemm_v2_64");
	uint64_t arg_wide[KIT_ARGS] = { [3] = 1ull << 40, [4] = 3, [5] = 2 };
	uint64_t huge[KIT_ARGS] = { [3] = 1ull << 40, [4] = 1ull << 40, [5] = 1ull << 40 };
	uint64_t largest[KIT_ARGS] = { [3] = (1ull << 62) + 1, [4] = 1, [5] = 1 };
	uint64_t above[KIT_ARGS] = { [3] = 1ull << 62, [4] = 2, [5] = 1 };

	for (int i = 0; i < 19; i++) {
		kit_sgemm(narrow, 0, 5, 7);
		kit_sgemm(narrow, -5, 5, 7);
		kit_sgemm(narrow, 5, 5, -2147483647 - 1);
		kit_call(wide, arg_wide);
		kit_call(wide, huge);
		kit_call(wide, largest);
		kit_call(wide, above);
	}
}

static void bad_groups(void *arg)
{
	void *f = kit_symbol(&cublas, "cublasSgemmGroupedBatched");
	int trans[2] = { 0, 0 }, size[2] = { 3, 5 }, batch[2] = { 1, 2 };
	uint64_t a[KIT_ARGS] = { [1] = (uintptr_t)trans, [2] = (uintptr_t)trans, [3] = (uintptr_t)size,
				 [4] = (uintptr_t)size,	 [5] = (uintptr_t)size,	 [14] = 2,
				 [15] = (uintptr_t)batch };

	for (int i = 0; i < 23; i++) {
		a[14] = 2;
		a[15] = (uintptr_t)batch;
		kit_call(f, a);
		a[15] = 8; /* faults */
		kit_call(f, a);
		a[15] = (uintptr_t)batch;
		a[14] = 1 << 30; /* groups */
		kit_call(f, a);
		a[14] = (uint32_t)-1;
		kit_call(f, a);
	}
}

/* Calls of one child: `calls` counted, and what is lost, by cause. */
static void expect(struct drain *d, const char *what, void (*fn)(void *), uint64_t calls, opcount ops,
		   enum om_loss cause, uint64_t lost)
{
	pid_t pid = kit_run(fn, NULL);
	struct totals t = kit_totals(d, pid);

	printf("%s: %llu calls, %llu lost (%s)\n", what, (unsigned long long)t.calls,
	       (unsigned long long)t.lost[cause], om_loss_name(cause));
	check_equal(t.calls, calls, what);
	check(t.ops == ops, "%s: operations differ", what);
	for (size_t i = 0; i < OM_LOSS_END; i++)
		check_equal(t.lost[i], i == cause ? lost : 0, om_loss_name(i));
}

void test_faults(void)
{
	struct probes *p;
	struct drain *d;
	opcount ops;

	start(&p, &d);
	expect(d, "bad pointers", bad_pointers, 0, 0, OM_LOSS_FAILED_READ, 44);
	expect(d, "inconsistent", bad_shapes, 0, 0, OM_LOSS_INCONSISTENT, 13);
	expect(d, "grouped on the device", grouped_on_device, 0, 0, OM_LOSS_UNREAD, 17);
	ops = 19 * ((opcount)2 * (3 * 2) * (1ull << 40) + 2 * ((opcount)(1ull << 62) + 1));
	expect(d, "odd sizes", odd_sizes, 3 * 19, ops, OM_LOSS_ABSURD, 4 * 19);
	/* of each round the first call is good; of the second no group can be read */
	pid_t pid = kit_run(bad_groups, NULL);
	struct totals t = kit_totals(d, pid);

	check_equal(t.calls, 2 * 23, "groups");
	check(t.ops == (opcount)23 * 2 * (27 + 125 * 2), "operations of groups differ");
	check_equal(t.lost[OM_LOSS_FAILED_READ], 23, "groups that fault");
	check_equal(t.lost[OM_LOSS_ABSURD], 2 * 23, "absurd groups");
	drain_free(d);
	probes_free(p);
}

/* A library whose offsets nobody has proved: its calls are seen, not read. */
static void unproven_calls(void *arg)
{
	struct lt lt = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, false, false, 16, 32, 64, 1);

	for (int i = 0; i < 29; i++)
		kit_lt_call(&lt);
}

void test_unproven(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	lt_lib.lib.is_proven = false;
	p = kit_open(NULL);
	kit_attach(p, &lt_lib.lib);
	check(!drain_new(p, &d), "drain_new");
	expect(d, "unproven", unproven_calls, 0, 0, OM_LOSS_UNREAD, 29);
	/* once its row is there, the same file is attached anew and read */
	lt_lib.lib.is_proven = true;
	kit_attach(p, &lt_lib.lib);
	check(!probes_wait_released(p, 5000), "the old probes are still there");
	expect(d, "proven", unproven_calls, 29, (opcount)29 * 2 * 16 * 32 * 64, OM_LOSS_UNREAD, 0);
}

/* --- pages that are not in memory --- */

enum { CALLS_PAGED = 211 };
static char *descriptors; /* a page of them */
static struct lt paged;

static void descriptors_move(char *to)
{
	struct lt lt = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, true, false, 48, 96, 192, 1);
	void **from[] = { &lt.desc, &lt.a, &lt.b, &lt.c, &lt.d };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		memcpy(to + i * 512, *from[i], i ? 64 : 256);
		*from[i] = to + i * 512;
	}
	paged = lt;
}

/* Whether the page table has it: a page that is still in a cache faults all the same. */
static bool is_present(const void *page)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	check(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / 4096 * sizeof(entry))) ==
		      sizeof(entry),
	      "pagemap: %m");
	return entry >> 63;
}

static unsigned paged_out;

static void call_with_page_out(void (*evict)(void))
{
	for (int i = 0; i < CALLS_PAGED; i++) {
		evict();
		paged_out += !is_present(descriptors);
		kit_lt_call(&paged);
	}
	check(paged_out > CALLS_PAGED * 9 / 10, "only %u of %d times the page was out", paged_out,
	      CALLS_PAGED);
}

static int page_file = -1;

static void evict_file(void)
{
	madvise(descriptors, 4096, MADV_PAGEOUT);
	madvise(descriptors, 4096, MADV_DONTNEED); /* private, not written: read again from the file */
	posix_fadvise(page_file, 0, 4096, POSIX_FADV_DONTNEED);
}

static void from_file(void *arg)
{
	char path[] = "/var/tmp/opmeter-test-XXXXXX"; /* on a disk, not on a tmpfs */
	char page[4096] = {};

	page_file = mkstemp(path);
	check(page_file >= 0 && !unlink(path), "%s: %m", path);
	descriptors_move(page);
	check(write(page_file, page, sizeof(page)) == sizeof(page) && !fsync(page_file), "write: %m");
	descriptors = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, page_file, 0);
	check(descriptors != MAP_FAILED, "mmap: %m");
	paged.desc = descriptors;
	paged.a = descriptors + 512;
	paged.b = descriptors + 1024;
	paged.c = descriptors + 1536;
	paged.d = descriptors + 2048;
	call_with_page_out(evict_file);
}

static void evict_anonymous(void)
{
	descriptors[4095]++; /* dirty, so that it has to go to swap */
	for (int i = 0; i < 1000 && is_present(descriptors); i++) {
		madvise(descriptors, 4096, MADV_PAGEOUT); /* not while it is being written */
		usleep(50);
	}
}

static void from_swap(void *arg)
{
	descriptors = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(descriptors != MAP_FAILED, "mmap: %m");
	descriptors_move(descriptors);
	call_with_page_out(evict_anonymous);
}

/* A swap file of our own if there is no swap; false if this machine allows none. */
static bool swap_begin(char *path)
{
	_cleanup_close_ int fd = mkstemp(path);
	static char block[1 << 20];
	char command[128];

	check(fd >= 0, "%s: %m", path);
	for (int i = 0; i < 16; i++)
		check(write(fd, block, sizeof(block)) == sizeof(block), "%s: %m", path);
	fsync(fd);
	snprintf(command, sizeof(command), "chmod 600 %s && mkswap %s >/dev/null 2>&1", path, path);
	if (system(command) || swapon(path, 0)) {
		unlink(path);
		return false;
	}
	return true;
}

void test_paged_out(void)
{
	char path[] = "/var/tmp/opmeter-swap-XXXXXX";
	const opcount ops = (opcount)CALLS_PAGED * 2 * 48 * 96 * 192;
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	bool has_swap;
	int status;
	pid_t pid;

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	p = kit_open(NULL);
	kit_attach(p, &lt_lib.lib);
	check(!drain_new(p, &d), "drain_new");
	expect(d, "page of a file", from_file, CALLS_PAGED, ops, OM_LOSS_FAILED_READ, 0);
	has_swap = swap_begin(path);
	if (!has_swap) {
		printf("no swap can be had here: the part with swapped pages is left out\n");
		return;
	}
	pid = kit_spawn(from_swap, NULL);
	check(waitpid(pid, &status, 0) == pid, "waitpid: %m");
	swapoff(path);
	unlink(path);
	check(!status, "the swapping child ended with status 0x%x", status);
	struct totals t = kit_totals(d, pid);

	check_equal(t.calls, CALLS_PAGED, "calls with a swapped page");
	check_equal(t.lost[OM_LOSS_FAILED_READ], 0, "failed reads");
}
