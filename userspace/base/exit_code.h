/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_EXIT_CODE_H
#define OPMETER_BASE_EXIT_CODE_H

/* What `opmeter` exits with; the man page says the same. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,  /* the work could not be done; one line on stderr says why */
	EXIT_USAGE = 2,	  /* a bad flag, file or regime; one line with file and line number */
	EXIT_FINDING = 3, /* done, and what was checked is not in order (verify, check) */
	EXIT_NOPERM = 4,  /* the kernel or the file system refused: which capability is missing */
};

#endif
