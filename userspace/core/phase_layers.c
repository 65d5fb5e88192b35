// SPDX-License-Identifier: Apache-2.0
/* Whether products feed each other as the layers of a model do, and in which direction. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* --- the same tokens through several weights --- */

/* One side of a product, taken for tokens, and the weight that is left: a <= b. */
struct side {
	uint64_t tokens, a, b;
	size_t shape;
};

static int by_tokens(const void *x, const void *y)
{
	const struct side *a = x, *b = y;

	return a->tokens < b->tokens ? -1 : a->tokens > b->tokens;
}

/* Whether the same tokens meet several layers: weights of three dimensions or more besides their own, or a
 * square one and another. One weight in both directions is none. */
static bool meets_layers(const struct side *s, size_t count)
{
	bool has_square = false, has_other = false;
	uint64_t seen[3];
	int n = 0;

	for (size_t i = 0; i < count && n < 3; i++) {
		const uint64_t dim[] = { s[i].a, s[i].b };

		has_square |= dim[0] == dim[1] && dim[0] != s[i].tokens;
		has_other |= dim[0] != dim[1] && dim[0] != s[i].tokens && dim[1] != s[i].tokens;
		for (int d = 0; d < 2 && n < 3; d++) {
			bool is_known = dim[d] == s[i].tokens;

			for (int k = 0; k < n; k++)
				is_known |= seen[k] == dim[d];
			if (!is_known)
				seen[n++] = dim[d];
		}
	}
	return n == 3 || (n == 2 && has_square && has_other);
}

/* Operations by what they contract over. */
struct contracted {
	uint64_t over;
	double ops;
};

static int by_over(const void *x, const void *y)
{
	const struct contracted *a = x, *b = y;

	return a->over < b->over ? -1 : a->over > b->over;
}

/* Tokens that only pass through are never summed over, but in what X^T X is made for. `c` has room for all
 * shapes; returns how many it has. */
static size_t contracted_make(const struct judge *j, struct contracted *c)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < j->shapes; i++)
		if (j->shape[i].batch == 1 && j->shape[i].m != j->shape[i].n)
			c[n++] = (struct contracted){ j->shape[i].k, j->shape[i].ops };
	if (n)
		qsort(c, n, sizeof(*c), by_over);
	for (size_t i = 0; i < n; i++) {
		if (kept && c[kept - 1].over == c[i].over)
			c[kept - 1].ops += c[i].ops;
		else
			c[kept++] = c[i];
	}
	return kept;
}

static bool is_contracted(const struct judge *j, const struct contracted *c, size_t n, uint64_t tokens)
{
	const struct contracted key = { .over = tokens },
				*at = n ? bsearch(&key, c, n, sizeof(*c), by_over) : NULL;

	return at && at->ops > 0.01 * j->ops;
}

/* Operations of X^T X and of squares, as a share: what optimizers and calibration are made of. */
double phase_gram(const struct judge *j)
{
	double ops = 0;

	for (size_t i = 0; i < j->shapes; i++)
		ops += j->shape[i].m == j->shape[i].n ? j->shape[i].ops : 0;
	return ops / j->ops;
}

/* Share of operations in products one side of which passes through several layers. */
double phase_layered(const struct judge *j)
{
	_cleanup_free_ struct side *side = calloc(2 * j->shapes + 1, sizeof(*side));
	_cleanup_free_ bool *is_layered = calloc(j->shapes + 1, sizeof(*is_layered));
	_cleanup_free_ struct contracted *c = calloc(j->shapes + 1, sizeof(*c));
	size_t n = 0, overs;
	double ops = 0;

	if (!side || !is_layered || !c)
		return 0;
	overs = contracted_make(j, c);
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		for (int k = 0; k < 2 && s->m != s->n; k++) {
			uint64_t o = k ? s->n : s->m;

			side[n++] =
				(struct side){ k ? s->m : s->n, o < s->k ? o : s->k, o < s->k ? s->k : o, i };
		}
	}
	if (n)
		qsort(side, n, sizeof(*side), by_tokens);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && side[end].tokens == side[i].tokens;)
			end++;
		if (meets_layers(&side[i], end - i) && !is_contracted(j, c, overs, side[i].tokens))
			for (size_t k = i; k < end; k++)
				is_layered[side[k].shape] = true;
	}
	for (size_t i = 0; i < j->shapes; i++)
		ops += is_layered[i] ? j->shape[i].ops : 0;
	return j->ops > 0 ? ops / j->ops : 0;
}

/* --- layers that feed each other --- */

/* One product as a forward pass would have it: `tokens` rows, `in` contracted, `out` made. */
struct layer {
	uint64_t tokens, in, out;
	double ops, calls;
};

static int by_in(const void *x, const void *y)
{
	const struct layer *a = x, *b = y;

	if (a->tokens != b->tokens)
		return a->tokens < b->tokens ? -1 : 1;
	return a->in < b->in ? -1 : a->in > b->in;
}

static int by_out(const void *x, const void *y)
{
	const struct layer *a = x, *b = y;

	if (a->out != b->out)
		return a->out < b->out ? -1 : 1;
	return a->tokens < b->tokens ? -1 : a->tokens > b->tokens;
}

/* Layers of a model are of several sizes (weights of two different pairs of dimensions at least), and some
 * are there more often than others. */
struct sizes {
	uint64_t low, high;
	bool has_two;
	double least, most; /* calls */
};

static void sizes_add(struct sizes *s, const struct layer *l)
{
	uint64_t low = l->in < l->out ? l->in : l->out, high = l->in < l->out ? l->out : l->in;

	s->least = s->least == 0 ? l->calls : fmin(s->least, l->calls);
	s->most = fmax(s->most, l->calls);
	if (low == high)
		return;
	s->has_two |= s->low && (s->low != low || s->high != high);
	s->low = low;
	s->high = high;
}

/* Products of one orientation, in two orders. */
struct layers {
	struct layer *in, *out;
	size_t count;
};

static void layers_done(struct layers *l)
{
	free(l->in);
	free(l->out);
}

static int layers_make(const struct run *r, bool at_m, struct layers *ret)
{
	size_t n = 0;

	ret->in = calloc(r->product_count + 1, sizeof(*ret->in));
	ret->out = calloc(r->product_count + 1, sizeof(*ret->out));
	if (!ret->in || !ret->out)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		if (p->batch == 1)
			ret->in[n++] = (struct layer){ at_m ? p->m : p->n, p->k, at_m ? p->n : p->m,
						       2.0 * (double)p->m * (double)p->n * (double)p->k *
							       (double)p->calls,
						       (double)p->calls };
	}
	memcpy(ret->out, ret->in, n * sizeof(*ret->in));
	if (n) {
		qsort(ret->in, n, sizeof(*ret->in), by_in);
		qsort(ret->out, n, sizeof(*ret->out), by_out);
	}
	ret->count = n;
	return 0;
}

/* A recurrent cell makes the three or four gates of its own next input. */
static bool is_cell(const struct layer *x)
{
	return x->in <= UINT64_MAX / 4 && (x->out == 3 * x->in || x->out == 4 * x->in);
}

static bool is_taken(const struct layers *l, const struct layer *x)
{
	struct layer key = { .tokens = x->tokens, .in = x->out };

	return bsearch(&key, l->in, l->count, sizeof(key), by_in) || is_cell(x);
}

static bool is_made(const struct layers *l, const struct layer *x)
{
	struct layer key = { .tokens = x->tokens, .out = x->in };

	return bsearch(&key, l->out, l->count, sizeof(key), by_out) || is_cell(x);
}

#define POOLED_FROM_MAX 64 /* token counts looked at */

/* The last layer may meet one token of each sequence, or all steps of one at once: its input is made for a
 * multiple or a part of its tokens. */
static bool is_made_for_others(const struct layers *l, const struct layer *x, uint64_t out)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->out[mid].out < out)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i < l->count && i < low + POOLED_FROM_MAX && l->out[i].out == out; i++) {
		uint64_t others = l->out[i].tokens;

		if (others != x->tokens && (others % x->tokens == 0 || x->tokens % others == 0) &&
		    is_made(l, &l->out[i]) && (out == x->in || is_cell(&l->out[i])))
			return true;
	}
	return false;
}

static bool is_last(const struct layers *l, const struct layer *x)
{
	return is_made_for_others(l, x, x->in) ||
	       (x->in <= UINT64_MAX / 4 &&
		(is_made_for_others(l, x, 3 * x->in) || is_made_for_others(l, x, 4 * x->in)));
}

/* X^T X of what goes into a layer: calibration. */
static bool is_gram_of_a_layer(const struct layers *l, const struct layer *x)
{
	struct layer key = { .tokens = x->in, .in = x->tokens };

	return x->tokens == x->out && x->in != x->out && bsearch(&key, l->in, l->count, sizeof(key), by_in);
}

/* Share of the operations of products whose input another makes for the same tokens and whose output another
 * takes, the last layer included. */
static int chained(const struct judge *j, const struct run *r, bool at_m, struct phase_chain *ret)
{
	_cleanup_(layers_done) struct layers l = { 0 };
	struct sizes sizes = { 0 };
	double sum = 0, wide = 0, gram = 0;
	int rc = layers_make(r, at_m, &l);

	for (size_t i = 0; i < l.count && rc == 0; i++) {
		const struct layer *x = &l.in[i];
		bool taken = is_taken(&l, x), made = is_made(&l, x), last = !made && is_last(&l, x);

		if (x->in != x->out && taken && made)
			wide += x->ops;
		if (last || (made && x->ops > 0.005 * j->ops))
			sizes_add(&sizes, x);
		if (last || (made && (taken || x->out != x->tokens)))
			sum += x->ops;
		else if (is_gram_of_a_layer(&l, x))
			gram += x->ops;
	}
	*ret = (struct phase_chain){ 0 };
	if (rc == 0 && wide > 0.1 * (j->ops - gram) && sizes.has_two && sizes.most >= 1.9 * sizes.least) {
		ret->share = sum / j->ops;
		ret->beside_gram = gram < j->ops ? sum / (j->ops - gram) : 0;
	}
	return rc;
}

int phase_chained(const struct judge *j, const struct run *r, struct phase_chain *ret)
{
	struct phase_chain at_m, at_n;
	int rc = chained(j, r, true, &at_m);

	rc = rc ?: chained(j, r, false, &at_n);
	if (rc == 0)
		*ret = (struct phase_chain){ fmax(at_m.share, at_n.share),
					     fmax(at_m.beside_gram, at_n.beside_gram),
					     at_m.share >= at_n.share };
	return rc;
}
