// SPDX-License-Identifier: Apache-2.0
/*
 * No tenant can crowd another out: quotas, maps that are full, many processes;
 * and what the machine must have.
 */
#include "kit.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "tests.h"

static struct blas cublas;

/* A stand-in: others may be using the real one, and here the maps are to be filled
 * by this test alone. */
static void load(void)
{
	static const char *const few[] = { "cublasSgemm_v2", "cublasGemmEx", NULL };

	cublas = kit_load_built("libnest_blas.so");
	kit_keep_entries(&cublas.lib, few);
}

struct many {
	unsigned shapes, rounds;
};

/* `rounds` calls of each of `shapes` shapes: 2 * 3 * 5 * sum(m) operations a round. */
static void call_many(void *arg)
{
	void *f = kit_symbol(&cublas, "cublasSgemm_v2");
	struct many *many = arg;

	for (unsigned r = 0; r < many->rounds; r++)
		for (unsigned m = 1; m <= many->shapes; m++)
			kit_sgemm(f, (int)m, 3, 5);
}

static opcount many_ops(const struct many *m)
{
	return (opcount)m->rounds * 30 * m->shapes * (m->shapes + 1) / 2;
}

static void check_many(struct drain *d, pid_t pid, const struct many *m, uint64_t with_shape, const char *who)
{
	struct totals t = kit_totals(d, pid);

	check_equal(t.calls, m->shapes * m->rounds, who);
	check_equal(t.calls - t.overflow_calls, with_shape, who);
	check(t.ops == many_ops(m), "%s: operations differ", who);
}

void test_quota(void)
{
	struct probes_config c = { .shapes_per_process = 100 };
	struct many greedy = { 5003, 3 }, modest = { 97, 7 };
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct om_stats stats;
	pid_t a, b;

	load();
	p = kit_open(&c);
	kit_attach(p, &cublas.lib);
	check(!drain_new(p, &d), "drain_new");
	a = kit_spawn(call_many, &greedy);
	b = kit_spawn(call_many, &modest);
	kit_wait(a);
	kit_wait(b);
	check_many(d, a, &greedy, 100 * greedy.rounds, "the greedy one");
	check_many(d, b, &modest, 97 * modest.rounds, "the modest one");
	check(!probes_stats(p, &stats), "stats");
	check_equal(stats.shape_quota, (greedy.shapes - 100) * greedy.rounds, "stat of the quota");
	check_equal(stats.shape_failed + stats.sum_failed + stats.spill_failed, 0, "failures");
}

/* Every map too small for what is asked of it: operations stay exact all the same. */
void test_map_full(void)
{
	struct probes_config c = { .shapes_max = 64, .sums_max = 2, .processes_max = 8 };
	struct many many = { 211, 3 };
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct om_stats stats;
	struct totals t;

	load();
	p = kit_open(&c);
	kit_attach(p, &cublas.lib);
	check(!drain_new(p, &d), "drain_new");
	for (int i = 0; i < 12; i++)
		kit_run(call_many, &many);
	t = kit_totals(d, 0);
	check_equal(t.calls, 12ull * many.shapes * many.rounds, "calls");
	check(t.ops == 12 * many_ops(&many), "operations differ");
	check_equal(t.lost[OM_LOSS_REFUSED], 0, "refused");
	check(!probes_stats(p, &stats), "stats");
	check(stats.shape_failed && stats.sum_failed && stats.proc_failed, "the maps were not full");
	/* the dead make room */
	check(!drain_commit(d), "drain_commit");
	check_many(d, kit_run(call_many, &(struct many){ 8, 5 }), &(struct many){ 8, 5 }, 40,
		   "after the commit");
}

/* Types are what the process says they are: a thousand combinations fill nothing. */
static void call_types(void *arg)
{
	void *f = kit_symbol(&cublas, "cublasGemmEx");
	uint64_t a[KIT_ARGS] = { [3] = 3, [4] = 5, [5] = 7, [17] = 68 };

	for (uint64_t i = 0; i < 1009; i++) {
		a[8] = i % 40;
		a[11] = i / 40;
		kit_call(f, a);
	}
}

void test_types_flood(void)
{
	struct probes_config c = { .shapes_per_process = 10, .sums_per_process = 20 };
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct om_stats stats;
	struct totals t;

	load();
	p = kit_open(&c);
	kit_attach(p, &cublas.lib);
	check(!drain_new(p, &d), "drain_new");
	kit_run(call_types, NULL);
	t = kit_totals(d, 0);
	check_equal(t.calls, 1009, "calls");
	check(!probes_stats(p, &stats), "stats");
	check_equal(stats.sum_quota, 1009 - 10 - 20, "calls kept under the unknown format");
	check_equal(stats.sum_failed, 0, "failures");
}

/* --- what the machine must have --- */

static void expect_error(const char *what, const char *dir, int want, const char *word)
{
	struct probes_config c = { .pin_dir = dir };
	struct error_text err = {};
	struct probes *p = NULL;
	int rc = probes_open(&c, &p, &err);

	printf("%s: %s\n", what, err.text);
	check(rc == want, "%s: %d, should be %d", what, rc, want);
	check(strstr(err.text, word), "%s: the sentence does not say %s", what, word);
}

static char pin_dir[96];

static void without_capability(void *arg)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {};

	check(!syscall(SYS_capset, &head, none), "capset: %m");
	expect_error("no capability", pin_dir, -EPERM, "CAP_BPF");
}

static void with_few_files(void *arg)
{
	struct rlimit limit = { 40, 40 };

	check(!setrlimit(RLIMIT_NOFILE, &limit), "setrlimit: %m");
	expect_error("few files", pin_dir, -EMFILE, "128");
}

static void with_low_soft_limit(void *arg)
{
	struct rlimit limit = { 20, 4096 };
	struct probes *p;

	check(!setrlimit(RLIMIT_NOFILE, &limit), "setrlimit: %m");
	p = kit_open(NULL);
	kit_attach(p, &cublas.lib);
	probes_free(p);
}

static void without_btf(void *arg)
{
	check(!mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, NULL), "mount: %m");
	expect_error("no BTF", pin_dir, -ENOTSUP, "BTF");
	umount("/sys/kernel/btf");
}

static void with_other_abi(void *arg)
{
	struct probes *p = kit_open(NULL);
	struct om_meta meta;
	uint32_t zero = 0;
	int fd = probes_map_fd(p, PROBES_META);

	check(!bpf_map_lookup_elem(fd, &zero, &meta), "meta: %m");
	meta.abi = OM_ABI_VERSION + 1;
	check(!bpf_map_update_elem(fd, &zero, &meta, BPF_ANY), "meta: %m");
	expect_error("other ABI", pin_dir, -EPROTONOSUPPORT, "version");
	meta.abi = OM_ABI_VERSION;
	check(!bpf_map_update_elem(fd, &zero, &meta, BPF_ANY), "meta: %m");
	probes_free(p);
}

void test_environment(void)
{
	struct error_text err = {};

	load();
	snprintf(pin_dir, sizeof(pin_dir), "%s/om", kit_pins);
	kit_run(without_capability, NULL);
	expect_error("not a bpffs", kit_dir, -ENODEV, "mount -t bpf");
	kit_run(with_few_files, NULL);
	kit_run(with_low_soft_limit, NULL);
	kit_run(without_btf, NULL);
	kit_run(with_other_abi, NULL);
	check(!probes_remove_all(pin_dir, &err), "%s", err.text);
	check(access(pin_dir, F_OK) && errno == ENOENT, "pins are left");
	check(probes_remove_all(pin_dir, &err) == -ENOENT, "removed twice");
}
