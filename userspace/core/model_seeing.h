/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_MODEL_SEEING_H
#define OPMETER_CORE_MODEL_SEEING_H

/* What model_identity.c sees of buffers when it goes through the order of a run, for model_told.c. */

#include "model_internal.h"

#define SEEING_WAITING 4 /* layers that share what goes in, as q, k and v do */

/* A buffer in the role of a weight. */
struct held {
	uint64_t small, large;
	uint32_t address, batch;
	uint32_t visits;   /* reads, those in a row once */
	uint32_t in_a_row; /* visits since backward last ran */
	uint32_t again;	   /* the most of them */
	uint32_t clock;	   /* when it was visited last */
	uint32_t met;	   /* by backward */
	uint32_t taught;   /* by a weight gradient */
	uint32_t with;	   /* another one that the same backward pass has met, in the end itself */
	uint64_t out;	   /* how many numbers it makes of a token */
	uint32_t turn;	   /* when it was last met, counted in forward steps */
	double work;	   /* that backward may answer */
	double tokens;	   /* that it has met */
	double reads;	   /* those with work */
	bool is_kept, learns;
};

/* What went into a layer, until its weight gradient comes. */
struct input {
	uint64_t small, large, in, tokens;
	uint32_t address, count, filled, window;
	uint32_t held[SEEING_WAITING]; /* the last ones */
};

/* How many different weights of one size are met before backward takes over. */
struct size {
	uint64_t small, large; /* 0: free */
	uint32_t clock, now, most;
	double gradients; /* of weights */
};

struct buffer {
	uint32_t address;
	uint32_t filled;	   /* so often has a product written to it, up to now */
	bool is_written, is_twice; /* twice: both operands of one product */
	bool is_weight, is_input;  /* forward, for tokens */
};

struct seeing {
	const struct judging *j;
	struct buffer *buffer;
	struct held *held;
	struct input *input;
	size_t slots, buffers; /* slots: of each but buffers; powers of two, at most half full */
	struct size *size;
	uint32_t x_at_a, x_at_b; /* where inputs stand in weight gradients */
	uint32_t first;		 /* that this backward pass has met, and one; 0: none yet */
	uint32_t turn;		 /* forward steps up to now */
	uint32_t last, clock;	 /* what was visited last; how often backward has begun */
	bool is_taught;		 /* somebody */
	bool is_sampled;	 /* the order is not of all calls */
	uint32_t windows;	 /* gone through */
	uint32_t cycles;	 /* forward and backward again, from one's beginning to the next one's */
	double unknown, work;
	double left; /* of the work: taken for somebody else's */
	struct answers answers;
};

/* The slot of a weight, or where it would go. */
struct held *seeing_held(struct seeing *s, uint32_t address, uint64_t a, uint64_t b);
struct size *seeing_size(struct seeing *s, uint64_t small, uint64_t large);
/* Weights that one backward pass has met, also by way of others, are of one model: its number. */
uint32_t seeing_model_of(struct seeing *s, uint32_t held);
/* Products write to it, or it stands for tokens as well. */
bool seeing_is_no_weight(struct seeing *s, uint32_t address);
/* Those of the size of all[from], the first of them, that backward has met: is there a weight gradient for
 * each time? */
bool seeing_has_all_gradients(struct seeing *s, struct held *const *all, size_t n, size_t from);
/* Keeps no more what is not of the model that answers (model_apart.c). `all` is sorted by size. -ENOMEM. */
int seeing_leave_others(struct seeing *s, struct judging *j, struct held *const *all, size_t n);
/* Goes through the run, with tokens at m or at n. -ENOMEM; seeing_done() in any case. */
int seeing_make(const struct judging *j, bool at_m, struct seeing *s);
void seeing_done(struct seeing *s);

#endif
