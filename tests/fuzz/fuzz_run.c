// SPDX-License-Identifier: Apache-2.0
/* Recorded runs of both forms, through files as the program reads them, and what is made of them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <stdio.h>

#include "userspace/core/model.h"
#include "userspace/core/phase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct error_text err = { 0 };
	struct run run;
	char path[32];
	opcount ops;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size && run_load(path, &run, &err) == 0) {
		static struct model_fingerprint f;
		struct phase_judgement p;

		run_ops(&run, &ops);
		if (phase_judge(&run, &p) == 0 && (!(p.complete >= 0 && p.complete <= 1.001) || p.algorithmic > p.executed ||
						   !(p.recompute_best >= p.recompute_low && p.recompute_high <= 1.001)))
			abort();
		if (phase_judge(&run, &p) == 0 && model_judge(&run, &p, NULL, &f) == 0 &&
		    (f.parameters.low > f.parameters.best * 1.0001 || f.parameters.high < f.parameters.best * 0.9999 ||
		     (f.is_certain && p.verdict == PHASE_IS_UNKNOWN)))
			abort();
		run_done(&run);
	}
	close(fd);
	return 0;
}
