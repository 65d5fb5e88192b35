/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CAPACITY_H
#define OPMETER_CORE_CAPACITY_H

/*
 * What an inventory of machines could do, in total processing performance (TPP), against
 * the caps of regimes of kind `capacity`. TPP = 2 x MacTOPS x bit length, the highest over
 * bit lengths, summed over processing units, dense rates only (3A090 Technical Note 2).
 * Bit-weighted capacity is no count of operations: nothing here touches totals.
 */

#include <stddef.h>
#include <stdint.h>

#include "regime.h"

#define CAPACITY_ROWS_MAX 1000000

struct chips;
/* data/tpp.csv. -EINVAL with FILE:LINE: also of a row whose TPP is not that of its rates. */
int chips_load(const char *path, struct chips **ret, struct error_text *err);
int chips_parse(const char *name, const char *text, size_t len, struct chips **ret, struct error_text *err);
struct chips *chips_free(struct chips *c);
static inline void chips_freep(struct chips **c)
{
	*c = chips_free(*c);
}
/* TPP of one chip, by its name in any case; 0: not known. */
uint64_t chips_tpp(const struct chips *c, const char *name);

struct inventory;
/*
 * CSV with the header site,country,owner,chip,count,date; quotes as in RFC 4180. Every bad row is told
 * (reject, may be NULL); one is enough to refuse the whole: what is left out would understate. -EINVAL.
 */
int inventory_parse(const char *name, const char *text, size_t len, const struct chips *chips,
		    void (*reject)(void *ctx, unsigned line, const char *why), void *ctx,
		    struct inventory **ret, struct error_text *err);
int inventory_load(const char *path, const struct chips *chips,
		   void (*reject)(void *ctx, unsigned line, const char *why), void *ctx,
		   struct inventory **ret, struct error_text *err);
struct inventory *inventory_free(struct inventory *i);
static inline void inventory_freep(struct inventory **i)
{
	*i = inventory_free(*i);
}
size_t inventory_rows(const struct inventory *i);
opcount inventory_tpp(const struct inventory *i, int32_t day); /* of all that is there on the day */
/* An owner's home (where it is headquartered): 0, -ENOMEM. */
int inventory_home(struct inventory *i, const char *owner, const char *country);
/* What an owner is, as caps name it ("UVEU", "NVEU", anything else for neither): 0, -ENOMEM. */
int inventory_status(struct inventory *i, const char *owner, const char *status);
/* Rows that are there only after the day: in no sum. */
size_t inventory_later(const struct inventory *i, int32_t day);
/* Rows that say what another one says: counted all the same, and worth a look. -ENOMEM. */
int inventory_doubled(const struct inventory *i, size_t *ret);

/* One cap of one regime for one owner, country or row. Strings are loans. */
struct capacity_finding {
	const struct regime *regime;
	const struct capacity_limit *limit;
	const char *owner, *country; /* NULL: of all */
	opcount tpp, of;	     /* a share: tpp is the part, `of` the whole */
	opcount cap;		     /* of amounts */
	unsigned line;		     /* of a lot; else 0 */
	bool is_met;		     /* the figure meets the comparator: reached, or exceeded */
	bool is_conditional;	     /* limit->missing, or the owner's home or status is not known */
};
/* Every cap of every regime of kind capacity that covers the day, whatever its mode. fn returns 0 to go on.
 */
int capacity_judge(const struct regimes *regimes, const struct inventory *i, int32_t day,
		   int (*fn)(void *ctx, const struct capacity_finding *f), void *ctx);

#endif
