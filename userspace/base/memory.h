/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_MEMORY_H
#define OPMETER_BASE_MEMORY_H

/*
 * What is given back stays with the program, up to a few MiB: whoever allocates the same again and again (an
 * agent that judges each minute) else pays the kernel for the same pages each time, a third of the judgement.
 * For programs that live long; once, at their beginning.
 */
void memory_keep_freed(void);

#endif
