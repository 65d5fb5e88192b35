/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_KERNEL_ROLE_H
#define OPMETER_CORE_KERNEL_ROLE_H

/*
 * What a GPU kernel is for, by the name that it was given. A name is a claim: tenants compile their own
 * kernels. So it may speak for learning only, and what is not named so means nothing. Pure.
 */

enum om_kernel_role {
	OM_ROLE_OTHER,
	OM_ROLE_BACKWARD,  /* a gradient's */
	OM_ROLE_OPTIMIZER, /* an update of weights */
	OM_ROLES
};

/* Any bytes up to the NUL; upper and lower case are alike. Whole words count ("bwd" in "flash_bwd_dq", not in
 * "abwdx"). */
enum om_kernel_role om_kernel_role_of(const char *name);

#endif
