/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CATALOGUE_ATTENTION_H
#define OPMETER_CORE_CATALOGUE_ATTENTION_H

/*
 * Closed formulas of FlashAttention's kernels, as bounds on the algorithmic operations of one launch
 * (docs/counting.md, "Operators"). Each returns false, and leaves *ret alone, where name and grid do not
 * tell. Self-attention is assumed: no more keys than queries forward, and backward no pair beyond the square
 * of the keys.
 */

#include "catalogue.h"

bool om_fa2_forward(const struct om_signature *s, struct om_kernel_estimate *ret);
bool om_fa2_backward(const struct om_signature *s, struct om_kernel_estimate *ret);
bool om_fa3_backward(const struct om_signature *s, struct om_kernel_estimate *ret);

#endif
