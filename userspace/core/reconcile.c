// SPDX-License-Identifier: Apache-2.0
#include "reconcile.h"

#include <math.h>

/* The figures of reconcile.h: r, and e as a fraction. */
#define TEXTBOOK_PER_EXECUTED 4
#define EXECUTED_PER_TEXTBOOK_NUM 5
#define EXECUTED_PER_TEXTBOOK_DEN 4
/* Half width of a 95 % interval, in standard deviations. */
#define DEVIATIONS 1.959964

static opcount add(opcount a, opcount b)
{
	opcount r;

	return opcount_add(a, b, &r) ? OPCOUNT_MAX : r;
}

/* 0 where nothing is left. */
static opcount less(opcount a, opcount b)
{
	return a > b ? a - b : 0;
}

static opcount lower(opcount a, opcount b)
{
	return a < b ? a : b;
}

static opcount times_r(opcount executed)
{
	opcount r;

	return opcount_mul(executed, TEXTBOOK_PER_EXECUTED, &r) ? OPCOUNT_MAX : r;
}

void om_evidence_add(struct om_evidence *e, const struct om_reading *r)
{
	om_evidence_add_value(e, r->key.meter, &r->value);
}

void om_evidence_add_value(struct om_evidence *e, uint8_t meter, const struct om_value *v)
{
	e->meters |= 1u << meter;
	for (int i = 0; i < OM_LOSS_END; i++)
		if (__builtin_add_overflow(e->losses, v->lost[i], &e->losses))
			e->losses = UINT64_MAX;
	switch (meter) {
	case OM_METER_SHAPE:
		e->attempted = add(e->attempted, add(v->exact, v->low));
		e->attempted_high = add(e->attempted_high, less(v->high, v->low));
		break;
	case OM_METER_LAUNCH:
		e->launched_low = add(e->launched_low, add(v->exact, v->low));
		e->launched_high = add(e->launched_high, add(v->exact, v->high));
		if (__builtin_add_overflow(e->unknown_launches, v->overflow_calls, &e->unknown_launches))
			e->unknown_launches = UINT64_MAX;
		break;
	case OM_METER_COUNTER:
		e->sampled_mean += v->mean;
		e->sampled_variance += v->variance;
		if (__builtin_add_overflow(e->calibrated_launches, v->calls, &e->calibrated_launches))
			e->calibrated_launches = UINT64_MAX;
		break;
	case OM_METER_DEVICE:
		e->device_low = add(e->device_low, add(v->exact, v->low));
		e->device_high = add(e->device_high, add(v->exact, v->high));
		break;
	case OM_METER_ALLOCATION:
		e->allocated = add(e->allocated, add(v->exact, v->high));
		break;
	case OM_METER_CORRECTION:
		e->added = add(e->added, v->exact);
		e->retracted_low = add(e->retracted_low, v->low);
		e->retracted_high = add(e->retracted_high, v->high);
		break;
	default:
		break;
	}
}

static opcount count_of(double operations)
{
	if (!(operations > 0))
		return 0;
	return operations < 1e38 ? (opcount)operations : OPCOUNT_MAX;
}

/* Kernels that are bounded, by name or by sampling: the interval is formed here, once.
 * What is sampled is the hardware's own count: executed. */
static void kernels(const struct om_evidence *e, opcount *ret_low, opcount *ret_high,
		    opcount *ret_executed_low)
{
	double half = DEVIATIONS * sqrt(e->sampled_variance > 0 ? e->sampled_variance : 0);
	opcount sampled_low = count_of(e->sampled_mean - half);

	*ret_executed_low = add(e->launched_low / TEXTBOOK_PER_EXECUTED, sampled_low);
	*ret_low = add(e->launched_low, sampled_low);
	*ret_high = add(add(e->launched_high, e->attempted_high), count_of(ceil(e->sampled_mean + half)));
	if (*ret_high < *ret_low)
		*ret_high = *ret_low;
}

static enum om_roof roof_of(const struct om_evidence *e, opcount *ret)
{
	bool has_device = e->meters >> OM_METER_DEVICE & 1;
	bool has_allocation = e->meters >> OM_METER_ALLOCATION & 1;

	*ret = OPCOUNT_MAX;
	if (has_allocation)
		*ret = e->allocated;
	if (has_device && e->device_high <= *ret) {
		*ret = e->device_high;
		return OM_ROOF_DEVICE;
	}
	return has_allocation ? OM_ROOF_ALLOCATION : OM_ROOF_NONE;
}

/* executed_low: what the kernels of l have executed at least. */
static opcount high_under(opcount roof, opcount s, opcount executed_low, opcount l_high)
{
	opcount all = times_r(roof);
	opcount beside_products = add(s, times_r(less(roof, s)));
	opcount beside_kernels = add(add(s, l_high), times_r(less(less(roof, s), executed_low)));

	return lower(all, lower(beside_products, beside_kernels));
}

static opcount unattributed_of(const struct om_evidence *e, opcount asked_high)
{
	opcount explained;

	if (opcount_muldiv(asked_high, EXECUTED_PER_TEXTBOOK_NUM, EXECUTED_PER_TEXTBOOK_DEN, &explained))
		explained = OPCOUNT_MAX;
	return e->meters >> OM_METER_DEVICE & 1 ? less(e->device_low, explained) : 0;
}

static void measure(const struct om_evidence *e, struct om_interval *ret)
{
	opcount l_low, l_high, roof, s = e->attempted;
	opcount confirmed, executed_low;

	kernels(e, &l_low, &l_high, &executed_low);
	*ret = (struct om_interval){ .asked_low = add(s, l_low),
				     .asked_high = add(s, l_high),
				     .meters = e->meters };
	ret->roof = roof_of(e, &roof);
	ret->is_complete = e->meters >> OM_METER_LAUNCH & 1 &&
			   e->unknown_launches <= e->calibrated_launches && !e->losses;
	if (ret->roof == OM_ROOF_NONE) {
		ret->low = ret->asked_low;
		ret->high = ret->asked_high;
		return;
	}
	confirmed = lower(s, roof);
	ret->low = add(confirmed, lower(l_low, times_r(roof - confirmed)));
	ret->contradicted = ret->asked_low - ret->low;
	ret->high = ret->contradicted ? ret->asked_high : high_under(roof, s, executed_low, l_high);
	ret->high = opcount_max(ret->high, ret->low);
	ret->is_bounded = true;
	ret->unattributed = unattributed_of(e, ret->asked_high);
}

/* v + added - retracted. The correction is taken together first: a large pair that nearly cancels, as one
 * that replaces another is, must not run into the ends of the scale. */
static opcount corrected(opcount v, opcount added, opcount retracted)
{
	return added >= retracted ? add(v, added - retracted) : less(v, retracted - added);
}

void om_reconcile(const struct om_evidence *e, struct om_interval *ret)
{
	measure(e, ret);
	ret->low = corrected(ret->low, e->added, e->retracted_high);
	ret->high = corrected(ret->high, e->added, e->retracted_low);
	ret->asked_low = corrected(ret->asked_low, e->added, e->retracted_high);
	ret->asked_high = corrected(ret->asked_high, e->added, e->retracted_low);
}
