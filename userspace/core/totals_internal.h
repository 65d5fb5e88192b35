/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOTALS_INTERNAL_H
#define OPMETER_CORE_TOTALS_INTERNAL_H

/*
 * What the files of core/totals share.
 *
 * totals_store.c   registers, jobs and names in chunks that never move, found through
 *                  open-addressed indexes that hold positions
 * totals_fold.c    a job's sealed days, as the bytes of their carries
 * totals_seal.c    which days are sealed, and with what
 * totals.c         what readings, carries, nulls and assignments do to them; what is owed
 * totals_sum.c     sums: of four jobs, of 256 jobs, of a cell
 * totals_cells.c   which cells a job is in
 * totals_each.c    what is told of them; totals_jobs.c: job by job
 * totals_days.c    what was trained before some days; totals_series.c: on each day
 *
 * A cell is what is summed: (tenant, model), or (lineage, tenant). A sum is only ever
 * made anew from what it is of, never subtracted from, so the state is its input.
 */

#include "reconcile.h"
#include "totals.h"

#define NONE UINT32_MAX
#define DAY_NS 86400000000000ULL

/* A growing array of positions. */
struct list {
	uint32_t *item;
	size_t count, room;
};
int list_push(struct list *l, uint32_t v); /* 0, -ENOMEM */

/* Open addressing, at most half full. The hash stands beside the position, so that looking past a slot and
 * growing touch nothing else. */
struct index {
	struct {
		uint32_t hash, at; /* at: NONE: free */
	} * slot;
	size_t mask, count;
};

/* Things of one size in chunks: their addresses stay, and growing copies nothing. */
struct chunks {
	char **chunk;
	size_t size, count, room; /* of one thing; things; chunks */
};
#define CHUNK_THINGS 256

enum reg_flag {
	REG_GHOST = 1,	  /* known by a null only: no value */
	REG_NULL = 2,	  /* the topic's last record of its key is a null */
	REG_BELOW = 4,	  /* the topic's last record of its key is below the value */
	REG_FOLDED = 8,	  /* a carry has its key */
	REG_COVERED = 16, /* and its value too */
	REG_FREE = 32,
};

struct reg {
	struct om_value value;
	struct om_node_facts node;
	uint64_t sequence;
	uint32_t job, next; /* of the same job, or the next free one */
	uint32_t day;
	uint32_t debt; /* position among the debts; NONE */
	uint8_t format, meter, flags;
	bool attempted;
};

enum {
	FIG_TRAINING_LOW,
	FIG_TRAINING_HIGH,
	FIG_TRAINING_CEILING,
	FIG_LOW,
	FIG_HIGH,
	FIG_CEILING,
	FIG_CONTRADICTED,
	FIG_UNATTRIBUTED,
	FIG_EXECUTED_LOW,
	FIG_EXECUTED_HIGH,
	FIG_SUSPECTED,
	FIG_END
};
enum { NUM_LOSSES, NUM_CALLS, NUM_LAUNCHES, NUM_REGISTERS, NUM_GAP_DAYS, NUM_END };

/* A monoid: all zero is the sum of nothing. */
struct sum {
	opcount figure[FIG_END];
	uint64_t number[NUM_END];
	uint64_t as_of_ns;
	uint32_t meters, first_day;					  /* first_day: 0: none */
	uint8_t is_unbounded, attempted, is_saturated, is_older, zero[4]; /* no padding: compared as bytes */
};
_Static_assert(sizeof(struct sum) == 16 * FIG_END + 8 * NUM_END + 24, "a sum has no padding");

struct membership {
	uint32_t cell, at;  /* at: position among the cell's members */
	struct sum *closed; /* of the days that carries alone hold; NULL: none */
};

enum job_flag {
	JOB_DIRTY = 1, /* in the list of those whose sums are stale */
	JOB_MOVED = 2, /* its days, what they are assigned to, or its closed days changed */
};
#define JOB_NEAR 2

struct job {
	struct om_id ledger, id;
	struct om_dated_list assigned[OM_ASSIGN_END];
	uint8_t *folded;       /* sections of sealed days, ascending: totals_fold.c */
	struct membership *in; /* `near`, or allocated */
	struct membership near[JOB_NEAR];
	uint32_t folded_size, folded_last; /* folded_last: the last section's day */
	uint32_t first;			   /* live registers */
	uint32_t in_count;
	uint8_t flags;
};

struct cell {
	enum om_group group;
	const char *a, *b;	 /* interned: tenant and model, or lineage and tenant */
	struct list members;	 /* jobs */
	struct sum *four, *many; /* of four members; of sixty-four fours */
	size_t fours_room;
	struct list stale;		/* fours, room for each of them */
	uint8_t *is_stale, *many_stale; /* by four, by many */
	struct sum total, given;	/* given: as om_totals_each_changed() last gave it */
	uint32_t rank;			/* in the order of names */
	bool is_listed, is_changed;	/* among the stale cells, among the changed ones */
};

struct om_totals {
	struct chunks regs, jobs, cells;
	uint32_t free_reg;
	size_t max, live, ghosts, overlap; /* overlap: live ones that a carry has too */
	size_t folded, folded_bytes, folded_bytes_max;
	struct index by_key, by_job, by_cell, by_name;
	struct chunks names; /* char * */
	size_t name_bytes, dated_bytes;
	struct list debts, dirty, stale, changed; /* registers; jobs; cells; cells */
	size_t debts_from;			  /* where the next telling of debts begins */
	const char *unknown, *unassigned;
	uint32_t *order; /* cells by group and names */
	size_t ordered;
	uint32_t last_job,
		last_reg; /* readings of one job come together; a register is asked for, then raised */
	uint64_t salt;	  /* of the hashes */
	uint64_t late_total, regressions, uncovered_total;
	/* Room to work in. */
	struct part {
		uint32_t day;
		uint8_t format, meter;
		const struct om_value *value;
	} * part;
	size_t part_count, part_room;
	struct om_reading *decoded;						     /* of one section */
	const int32_t *(*days_of)(void *ctx, const char *tenant, size_t *ret_count); /* NULL: nobody asks */
	void *days_ctx;
};

/* totals_store.c */
static inline void *chunks_at(const struct chunks *c, uint32_t i)
{
	return c->chunk[i / CHUNK_THINGS] + (i % CHUNK_THINGS) * c->size;
}
static inline struct reg *reg_at(const struct om_totals *t, uint32_t i)
{
	return chunks_at(&t->regs, i);
}
static inline struct job *job_at(const struct om_totals *t, uint32_t i)
{
	return chunks_at(&t->jobs, i);
}
static inline struct cell *cell_at(const struct om_totals *t, uint32_t i)
{
	return chunks_at(&t->cells, i);
}
void *chunks_add(struct chunks *c); /* zeroed, at position count - 1; NULL: out of memory */
uint32_t store_find_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job);
int store_need_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job, uint32_t *ret);
uint32_t store_find_reg(struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter);
/* A new register, linked to its job, all else zero. -ENOSPC, -ENOMEM. */
int store_add_reg(struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter,
		  uint32_t *ret);
void store_drop_reg(struct om_totals *t, uint32_t i);
int store_need_cell(struct om_totals *t, enum om_group group, const char *a, const char *b, uint32_t *ret);
/* The one copy of a name. NULL: out of memory. */
const char *store_name(struct om_totals *t, const char *text);
int store_init(struct om_totals *t);
void store_done(struct om_totals *t);
void reg_to_reading(const struct om_totals *t, const struct reg *g, struct om_reading *ret);
void reg_from_reading(struct reg *g, const struct om_reading *r);

/* totals_fold.c */
struct section {
	uint32_t day;
	bool is_owed;	      /* the topic's last carry of the day is below this */
	const uint8_t *bytes; /* registers, as in a carry */
	uint32_t size;
};
/* The section at or after *at; moves *at behind it. False: no more. */
bool fold_next(const struct job *j, uint32_t *at, struct section *ret);
bool fold_find(const struct job *j, uint32_t day, struct section *ret);
/* One register of a section at *at; moves *at behind it. The reading is filled in but for node. */
bool fold_register(const struct job *j, const struct section *s, uint32_t *at, struct om_reading *ret);
/* What carries hold of one key; false: nothing. */
bool fold_get(const struct job *j, uint32_t day, uint8_t format, uint8_t meter, struct om_reading *ret);
/* Joins a carry into the job's section of its day. ret_news: it raised something; ret_below: it is not all
 * there is. -ENOSPC, -ENOMEM: nothing happened. */
int fold_join(struct om_totals *t, struct job *j, const struct om_carry *c, bool *ret_news, bool *ret_below);

/* The day's carry is owed; false: there is none. */
bool fold_owe(struct job *j, uint32_t day);

/* totals.c */
const struct om_dated *job_holds(const struct job *j, enum om_assignment_kind kind, uint32_t day);
enum om_phase phase_of(const struct om_dated *d);
const char *value_of(const struct job *j, enum om_assignment_kind kind, uint32_t day, const char *otherwise);

/* totals_each.c */
void total_of_sum(const struct sum *s, struct om_subject_total *ret);
/* The cells of the subject that `of` names, among those in the order of names; ret[0] up to ret[1], both 0 if
 * there are none. Sums are fresh. */
int cells_of_subject(struct om_totals *t, const struct om_subject_total *of, size_t ret[2]);

static inline void add_figure(struct sum *s, int which, opcount v)
{
	opcount_add_saturating(&s->figure[which], v);
	s->is_saturated |= s->figure[which] == OPCOUNT_MAX;
}

static inline void add_number(struct sum *s, int which, uint64_t v)
{
	if (__builtin_add_overflow(s->number[which], v, &s->number[which]))
		s->number[which] = UINT64_MAX;
}

/* totals_day.c */
/* A day's parts, of all meters, under the job's assignments, into a cell that the day is of. */
void day_add(struct sum *s, const struct cell *c, const struct job *j, const struct part *part, size_t n);

/* totals_sum.c */
/* Never fails: room for every job was made when it was added. */
void sum_touch(struct om_totals *t, uint32_t job, bool is_moved);
int sum_refresh(struct om_totals *t);
void sum_done(struct om_totals *t);
void sum_add(struct sum *into, const struct sum *other);
/* The job's live registers into t->part, in the order of their keys, with room behind them for a section's.
 */
int sum_gather_live(struct om_totals *t, uint32_t job);
struct names {
	const char *tenant, *model, *lineage; /* lineage: NULL: none */
};
struct names sum_names_on(const struct om_totals *t, const struct job *j, uint32_t day);

/* Adds all that a member of a cell adds to it. Leaves its live registers gathered. */
int sum_member(struct om_totals *t, uint32_t job, uint32_t cell, struct sum *s);
/* What each day of the job adds to a cell, in no order. */
int sum_each_day(struct om_totals *t, uint32_t job, const struct cell *c,
		 void (*fn)(void *ctx, uint32_t day, const struct sum *s), void *ctx);

/* totals_days.c: of the cells of one subject together; *ret is the caller's. Sums are fresh. */
int days_until(struct om_totals *t, struct cell *const *cell, size_t n, uint32_t first_day,
	       struct om_until **ret, size_t *ret_count);
/* totals_series.c: likewise, by day. */
int days_series(struct om_totals *t, struct cell *const *cell, size_t n, uint32_t before, struct om_day **ret,
		size_t *ret_count);

/* totals_cells.c */
#define FOUR 4
#define MANY 64							   /* fours */
struct membership *cells_membership(struct job *j, uint32_t cell); /* NULL: the job is not in it */
/* The sum of the four members around `at` is stale. Never fails. */
void cells_mark(struct om_totals *t, uint32_t cell, uint32_t at);
/* Brings the job into the cells that its days belong to, and out of the others; leaves its live registers
 * gathered. `cells`: empty, the caller frees. */
int cells_place(struct om_totals *t, uint32_t job, struct list *cells);

#endif
