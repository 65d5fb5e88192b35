// SPDX-License-Identifier: Apache-2.0
/*
 * A tenant on the simulated driver: launches one kernel again and again.
 *
 *     launcher LIBCUDA CGROUP NAME GRIDX GRIDY BLOCK SHARED COUNT RATE
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *need(void *library, const char *name)
{
	void *f = library ? dlsym(library, name) : NULL;

	if (!f) {
		fprintf(stderr, "launcher: %s\n", dlerror());
		exit(1);
	}
	return f;
}

static int join(const char *cgroup)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	f = fopen(path, "we");
	if (!f)
		return -1;
	fprintf(f, "%d", (int)getpid());
	return fclose(f);
}

int main(int argc, char **argv)
{
	int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
		      void **);
	int (*load)(void **, const void *), (*get)(void **, void *, const char *);
	void *library, *module = NULL, *function = NULL;
	long count, rate;

	if (argc != 10 || join(argv[2])) {
		fprintf(stderr, "usage: launcher LIBCUDA CGROUP NAME GRIDX GRIDY BLOCK SHARED COUNT RATE\n");
		return 2;
	}
	library = dlopen(argv[1], RTLD_NOW);
	launch = need(library, "cuLaunchKernel");
	load = need(library, "cuModuleLoadData");
	get = need(library, "cuModuleGetFunction");
	/* The probes of a library that appears just now take a moment. */
	usleep(500000);
	if (load(&module, NULL) || get(&function, module, argv[3]))
		return 1;
	count = atol(argv[8]);
	rate = atol(argv[9]);
	for (long i = 0; i < count; i++) {
		launch(function, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), 1, (unsigned)atoi(argv[6]), 1, 1,
		       (unsigned)atoi(argv[7]), NULL, NULL, NULL);
		nanosleep(&(struct timespec){ 0, 1000000000 / rate }, NULL);
	}
	return 0;
}
