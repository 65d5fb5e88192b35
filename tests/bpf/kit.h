/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_BPF_KIT_H
#define OPMETER_TESTS_BPF_KIT_H

/*
 * What the tests of the kernel side share. A test runs in a mount namespace of
 * its own with a BPF file system of its own, so whatever it pins goes with it.
 * The libraries are the vendor's real ones; calls get a null handle, so they
 * return an error after their entry, which is all that the meter sees of them.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "userspace/agent/drain.h"
#include "userspace/agent/library.h"
#include "userspace/agent/probes.h"

#define EXIT_SKIP 77

/* Ends the test: one line on stderr, exit 1 (or 77). */
#define fail(...) kit_end(1, __FILE__, __LINE__, __VA_ARGS__)
#define skip(...) kit_end(EXIT_SKIP, __FILE__, __LINE__, __VA_ARGS__)
#define check(condition, ...)                                                                                \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			fail(__VA_ARGS__);                                                                   \
	} while (0)
#define check_equal(got, want, what)                                                                         \
	do {                                                                                                 \
		unsigned long long __g = (got), __w = (want);                                                \
		if (__g != __w)                                                                              \
			fail("%s: %llu, should be %llu", what, __g, __w);                                    \
	} while (0)
void kit_end(int code, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), noreturn));

/* A library, loaded here (children inherit it) and described for the probes. */
struct blas {
	void *handle; /* dlopen */
	struct library lib;
};

/* A tmpfs of this test, and its BPF file system. */
extern char kit_dir[48], kit_pins[64];
/* $OPMETER_CACHE/cuda/VERSION/NAME (~/.cache/opmeter); skips if it is not there. */
const char *kit_library_path(const char *version, const char *name);
/* A real library of the driver: $OPMETER_DRIVER, one below $OPMETER_CACHE/gpu/driver, or the
 * system's; skips if there is none. */
const char *kit_driver_path(void);
void kit_describe(const char *path, struct library *ret);
/* Only the entries named (NULL: all that the table has). */
void kit_keep_entries(struct library *lib, const char *const *symbols);
struct blas kit_load(const char *version, const char *name);
struct blas kit_load_path(const char *path);
struct blas kit_load_built(const char *name); /* a stand-in: $B/tests/bpf/NAME */

struct probes *kit_open(const struct probes_config *more);
void kit_attach(struct probes *p, const struct library *lib);

/* Calls with up to 24 integer-class arguments. */
#define KIT_ARGS 24
void kit_call(void *function, const uint64_t arg[KIT_ARGS]);
void *kit_symbol(const struct blas *b, const char *symbol);
/* cublasSgemm_v2(NULL, 0, 0, m, n, k, ...) */
void kit_sgemm(void *function, int m, int n, int k);

/* cublasLtMatmul through descriptors that the library itself makes. */
struct lt {
	struct blas *blas;
	void *matmul, *desc, *a, *b, *c, *d;
};
struct lt kit_lt(struct blas *b, int a_type, int b_type, int d_type, int compute, bool ta, bool tb,
		 uint64_t m, uint64_t n, uint64_t k, int batch);
void kit_lt_call(const struct lt *lt);
/* Sets an attribute of a layout or descriptor; fails the test if the library refuses. */
void kit_lt_set(struct blas *b, bool is_layout, void *object, int attribute, const void *value, size_t size);

pid_t kit_spawn(void (*fn)(void *arg), void *arg); /* exits 0 after fn */
void kit_wait(pid_t pid);			   /* fails unless it exited with 0 */
/* Runs in a child and waits. */
pid_t kit_run(void (*fn)(void *arg), void *arg);

/* drain_read(), and only what belongs to this test's process and those of kit_spawn(). */
void kit_read(struct drain *d, bool with_shapes, struct drain_result *ret);

/* Everything that was counted for one process, or for all of this test's (0). */
struct totals {
	uint64_t calls, nested, duplicates, overflow_calls, lost[OM_LOSS_END];
	opcount ops;
	uint64_t processes, dead;
};
struct totals kit_totals(struct drain *d, pid_t pid);
/* Calls of one shape, any process or one. */
uint64_t kit_shape_calls(const struct drain_result *r, pid_t pid, uint64_t m, uint64_t n, uint64_t k,
			 uint64_t batch);
uint64_t kit_now_ns(void);
void kit_sleep_ms(unsigned ms);

/* The tests of a program, by name. */
struct kit_test {
	const char *name;
	void (*run)(void);
};
int kit_main(int argc, char **argv, const struct kit_test *tests);

#endif
