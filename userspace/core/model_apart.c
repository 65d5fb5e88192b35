// SPDX-License-Identifier: Apache-2.0
/* Weights that are told by their buffers, and are not the model's that learns or answers: a draft model
 * beside it, a frozen network as loss. What is not kept is in `high` only. */
#include "model_seeing.h"

#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"

#define DRAFT_AT_MOST 0.5 /* of the parameters: the larger one answers */

static double size_of(const struct held *h)
{
	return (double)h->small * (double)h->large * h->batch;
}

static bool has_dim(const struct held *h, uint64_t dim)
{
	return h->small == dim || h->large == dim;
}

struct sum {
	uint64_t dim;
	double size;
};

static int by_dim(const void *x, const void *y)
{
	const struct sum *a = x, *b = y;

	return a->dim < b->dim ? -1 : a->dim > b->dim;
}

/* The dimension that most of what is kept has; 0: nothing is. -ENOMEM. */
static int common_dim(struct held *const *all, size_t n, uint64_t *ret)
{
	_cleanup_free_ struct sum *s = calloc(2 * n + 1, sizeof(*s));
	double most = 0;
	size_t kept = 0;

	*ret = 0;
	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!all[i]->is_kept)
			continue;
		s[kept++] = (struct sum){ all[i]->small, size_of(all[i]) };
		if (all[i]->large != all[i]->small)
			s[kept++] = (struct sum){ all[i]->large, size_of(all[i]) };
	}
	if (kept)
		qsort(s, kept, sizeof(*s), by_dim);
	for (size_t i = 0, end; i < kept; i = end) {
		double sum = 0;

		for (end = i; end < kept && s[end].dim == s[i].dim; end++)
			sum += s[end].size;
		if (sum > most) {
			most = sum;
			*ret = s[i].dim;
		}
	}
	return 0;
}

static void leave(struct judging *j, struct held *h)
{
	h->is_kept = false;
	j->apart += size_of(h);
}

/* The weight of this hidden size with the most outputs, that is there once with so many. */
static const struct held *head_of(struct held *const *all, size_t n, uint64_t hidden)
{
	const struct held *head = NULL;

	for (size_t i = 0; i < n; i++)
		if (all[i]->is_kept && has_dim(all[i], hidden) && all[i]->out != hidden &&
		    (!head || all[i]->out > head->out))
			head = all[i];
	return head;
}

/* A draft model has a head of as many outputs over another hidden size, and is asked more often than the one
 * that answers. The larger one answers. */
static void leave_draft(struct judging *j, struct held *const *all, size_t n, uint64_t hidden)
{
	const struct held *head = head_of(all, n, hidden), *other = NULL;
	double own = 0, draft = 0;

	for (size_t i = 0; head && i < n; i++) {
		if (all[i]->is_kept && all[i]->out == head->out && !has_dim(all[i], hidden) &&
		    all[i]->visits > head->visits + j->cut && !model_is_near(all[i]->visits, head->visits))
			other = all[i];
		own += all[i]->is_kept ? size_of(all[i]) : 0;
	}
	for (size_t i = 0; other && i < n; i++)
		if (all[i]->is_kept && !has_dim(all[i], hidden))
			draft += size_of(all[i]);
	for (size_t i = 0; other && draft <= DRAFT_AT_MOST * own && i < n; i++)
		if (all[i]->is_kept && !has_dim(all[i], hidden))
			leave(j, all[i]);
}

/* Where most of the weights that are used learn, what gradients only pass through above all that learns is a
 * loss (a frozen network that compares). A head alone may be one that does not learn. */
static void leave_loss(struct seeing *s, struct judging *j, struct held *const *all, size_t n)
{
	uint32_t last = 0;
	size_t above = 0;

	for (size_t i = 0, end; i < n; i = end) {
		bool learn_all = seeing_has_all_gradients(s, all, n, i);

		for (end = i; end < n && all[end]->small == all[i]->small && all[end]->large == all[i]->large;
		     end++) {
			all[end]->learns = all[end]->taught || learn_all;
			if (all[end]->is_kept && all[end]->learns && all[end]->turn > last)
				last = all[end]->turn;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!all[i]->is_kept || all[i]->learns)
			continue;
		if (all[i]->turn < last)
			return;
		above++;
	}
	for (size_t i = 0; i < n && last && above > 1; i++)
		if (all[i]->is_kept && !all[i]->learns)
			leave(j, all[i]);
}

int seeing_leave_others(struct seeing *s, struct judging *j, struct held *const *all, size_t n)
{
	uint64_t hidden;

	if (s->answers.is_asked && j->phase->verdict == PHASE_IS_TRAINING && s->is_taught)
		leave_loss(s, j, all, n);
	if (s->answers.is_asked)
		return 0;
	if (common_dim(all, n, &hidden))
		return -ENOMEM;
	leave_draft(j, all, n, hidden);
	return 0;
}
