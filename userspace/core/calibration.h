/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CALIBRATION_H
#define OPMETER_CORE_CALIBRATION_H

/*
 * Calibration: from what several processes say the hardware counted for a kernel
 * to what one launch of it performs, with its uncertainty.
 *
 * What a process says is a claim. The claims of one owner (a cgroup, or a tenant) are pooled
 * first, so that many processes of one owner are one voice. With three owners or
 * more, one that lies further from the median than its own error and the owners'
 * usual spread (median absolute deviation) allow is left out and is a finding: it
 * forged, or its kernel runs other sizes under the same name and geometry, which a
 * launch does not show. With two that differ nobody can say which is right: the
 * calibration is contested, and its variance covers both. With one it stands
 * alone.
 *
 * Owners that agree are combined with random effects (DerSimonian and Laird 1986):
 * what owners differ by beyond their errors is a variance of its own, so it widens
 * the estimate instead of vanishing in a large count.
 *
 * The same claims in any order give the same result, to the bit. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same word as COUNTER_METRIC() of userspace/cupti/metrics.h; a test compares them. */
#define OM_CALIBRATION_FORMAT(metric) ((metric)&0xff) /* enum om_format */
#define OM_CALIBRATION_PART(metric) ((metric) >> 8 & 0xff)
#define OM_CALIBRATION_PARTS(metric) ((metric) >> 16 & 0x7f)
#define OM_CALIBRATION_IS_SCALAR(metric) ((metric) >> 23 & 1)
#define OM_CALIBRATION_CHIP(metric) ((metric) >> 24)

struct om_calibration_key {
	uint64_t name; /* hash of the kernel's name */
	uint32_t grid[3], block[3];
	uint32_t shared; /* bytes */
	uint32_t metric;
};

/* What one process says of one kernel, all its launches so far. */
struct om_calibration_claim {
	struct om_calibration_key key;
	uint64_t owner;	  /* who speaks: a cgroup's id, or a tenant's number */
	uint64_t process; /* unique among the claims of one key */
	uint64_t count;	  /* launches measured, at least 1 */
	double mean;	  /* operations of one launch; not negative, finite */
	double variance;  /* of one launch: operations squared; not negative, finite */
};

enum om_calibration_verdict {
	OM_CALIBRATION_ALONE = 1, /* one owner's word */
	OM_CALIBRATION_AGREED = 2,
	OM_CALIBRATION_CONTESTED = 3, /* two differ, or more than half would have to be left out */
};

struct om_calibration {
	struct om_calibration_key key;
	enum om_calibration_verdict verdict;
	double mean;	      /* operations of one launch */
	double variance;      /* of one launch about that mean, owners' differences included */
	double mean_variance; /* of the mean: shared by all who use this calibration, so it adds in full */
	uint64_t launches;    /* measured, by those that were kept */
	uint32_t owners, rejected;
	uint64_t id; /* not 0; another whenever anything above changes */
};

/* A claim that was left out. */
struct om_calibration_finding {
	struct om_calibration_key key;
	uint64_t owner;
	uint64_t count;
	double claimed, expected; /* operations of one launch: its mean, the median */
	double allowed;		  /* how far off it could have been */
};

struct om_calibrations;

struct om_calibrations *om_calibrations_new(size_t claims_max); /* NULL: no memory */
struct om_calibrations *om_calibrations_free(struct om_calibrations *c);
static inline void om_calibrations_freep(struct om_calibrations **c)
{
	*c = om_calibrations_free(*c);
}

/* A later claim of the same process and key takes the place of the earlier one, if it
 * has as many launches. Where there is no room, the owner with the most claims loses half of
 * them; if that is this one, -ENOSPC. 0; -EINVAL: not a possible claim. Ends what the last
 * settling gave. */
int om_calibrations_add(struct om_calibrations *c, const struct om_calibration_claim *claim);
uint64_t om_calibrations_dropped(const struct om_calibrations *c); /* claims lost so, ever */

/* Judges and combines. 0 or -ENOMEM. */
int om_calibrations_settle(struct om_calibrations *c);

/* Of the last settling; loans until the next add. Sorted by key. */
const struct om_calibration *om_calibrations_all(const struct om_calibrations *c, size_t *ret_count);
const struct om_calibration_finding *om_calibrations_findings(const struct om_calibrations *c,
							      size_t *ret_count);
const struct om_calibration *om_calibrations_find(const struct om_calibrations *c,
						  const struct om_calibration_key *key); /* NULL: none */

/* One launch, in one format: the parts of the format added. */
struct om_calibration_estimate {
	double mean, variance, mean_variance;
	uint64_t id;	   /* of all parts together */
	uint64_t launches; /* of the part that was measured least */
	bool is_agreed;	   /* every part by two owners or more */
};
/* `key` with any metric of the chip and the format (its part does not matter). 0; -ENOENT: not
 * measured; -ENODATA: some part of it was not: what is known would be too low. */
int om_calibrations_estimate(const struct om_calibrations *c, const struct om_calibration_key *key,
			     struct om_calibration_estimate *ret);

/* `launches` launches of it: mean and variance of their sum. The calibration's error is
 * the same in each and adds in full, the launches' own adds as variances do. */
void om_calibration_scale(const struct om_calibration_estimate *e, uint64_t launches, double *ret_mean,
			  double *ret_variance);

#endif
