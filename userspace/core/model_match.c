// SPDX-License-Identifier: Apache-2.0
/*
 * Known architectures, and which of them a fingerprint is like: the weights that both have, by their
 * share of the parameters, under each way to fuse and to split them. How many layers a process holds
 * decides little, as it may hold one stage of a pipeline.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "model.h"

#define ROWS_MAX 4096
#define LINE_MAX_BYTES 1024
#define KINDS_MAX 16
#define LIKE 0.6 /* below this it is no match */

struct kind {
	uint64_t small, large;
	double copies;
};

struct architecture {
	char name[48];
	uint64_t hidden, feed, layers, heads, kv_heads, head_dim, vocabulary, experts, expert_feed;
	bool is_gated;
	struct kind attention[KINDS_MAX]; /* in place of the projections */
	size_t attentions;
};

struct architectures {
	struct architecture *row;
	size_t count;
};

size_t architectures_count(const struct architectures *a)
{
	return a->count;
}

struct architectures *architectures_free(struct architectures *a)
{
	if (a)
		free(a->row);
	free(a);
	return NULL;
}

/* --- the file --- */

static int read_number(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *end || *ret > 1u << 30 ? -EINVAL : 0;
}

static int read_attention(char *text, struct architecture *a)
{
	char *save, *one = strtok_r(text, " ", &save);

	for (; one; one = strtok_r(NULL, " ", &save)) {
		struct kind *k = &a->attention[a->attentions];
		unsigned long small, large, copies;
		int used = 0;

		if (a->attentions == KINDS_MAX ||
		    sscanf(one, "%9lux%9lu:%9lu%n", &small, &large, &copies, &used) != 3 || one[used] ||
		    !small || small > large || !copies)
			return -EINVAL;
		*k = (struct kind){ small, large, (double)copies };
		a->attentions++;
	}
	return 0;
}

#define COLUMNS 13
static int read_row(char *line, struct architecture *ret, const char **why)
{
	static const char *const names[] = { "name",	   "hidden",	"feed_forward", "layers", "heads",
					     "kv_heads",   "head_dim",	"vocabulary",	"mlp",	  "experts",
					     "expert_ffn", "attention", "source" };
	uint64_t *const number[COLUMNS] = { NULL,	 &ret->hidden,	 &ret->feed,	   &ret->layers,
					    &ret->heads, &ret->kv_heads, &ret->head_dim,   &ret->vocabulary,
					    NULL,	 &ret->experts,	 &ret->expert_feed };
	char *at = line;

	*ret = (struct architecture){ 0 };
	for (int i = 0; i < COLUMNS; i++) {
		char *text = strsep(&at, i < COLUMNS - 1 ? "," : "");

		*why = names[i];
		if (!text || (number[i] && read_number(text, number[i])))
			return -EINVAL;
		if (i == 0)
			snprintf(ret->name, sizeof(ret->name), "%s", text);
		if (i == 8 && strcmp(text, "gated") && strcmp(text, "plain"))
			return -EINVAL;
		ret->is_gated |= i == 8 && text[0] == 'g';
		if (i == 11 && read_attention(text, ret))
			return -EINVAL;
		if (i == 12 && !*text)
			return -EINVAL;
	}
	*why = "a size that is 0";
	return ret->name[0] && ret->hidden && ret->feed && ret->layers && ret->heads && ret->kv_heads &&
			       ret->head_dim && !ret->experts == !ret->expert_feed
		       ? 0
		       : -EINVAL;
}

static int take_line(struct architectures *a, char *line, const char *path, unsigned number,
		     struct error_text *err)
{
	const char *why = "";
	struct architecture *bigger;

	line[strcspn(line, "\r\n")] = '\0';
	if (!*line || *line == '#' || !strncmp(line, "name,", 5))
		return 0;
	if (a->count == ROWS_MAX)
		return error_set(err, -EINVAL, "%s:%u: more than %d architectures", path, number, ROWS_MAX);
	if ((a->count & (a->count - 1)) == 0) {
		bigger = reallocarray(a->row, a->count ? 2 * a->count : 1, sizeof(*a->row));
		if (!bigger)
			return -ENOMEM;
		a->row = bigger;
	}
	if (read_row(line, &a->row[a->count], &why))
		return error_set(err, -EINVAL, "%s:%u: %s: not as the head of the file says", path, number,
				 why);
	a->count++;
	return 0;
}

int architectures_load(const char *path, struct architectures **ret, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_(architectures_freep) struct architectures *a = calloc(1, sizeof(*a));
	char line[LINE_MAX_BYTES];
	unsigned number = 0;
	int rc = 0;

	if (!f)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!a)
		return -ENOMEM;
	while (rc == 0 && fgets(line, sizeof(line), f)) {
		number++;
		if (!strchr(line, '\n') && !feof(f))
			return error_set(err, -EINVAL, "%s:%u: a line of more than %d bytes", path, number,
					 LINE_MAX_BYTES - 2);
		rc = take_line(a, line, path, number, err);
	}
	if (rc)
		return rc;
	if (!a->count)
		return error_set(err, -EINVAL, "%s: no architecture", path);
	*ret = TAKE_PTR(a);
	return 0;
}

/* --- what an architecture looks like --- */

struct look {
	struct kind kind[KINDS_MAX];
	size_t count;
};

static void look_add(struct look *l, uint64_t a, uint64_t b, double copies)
{
	uint64_t small = a < b ? a : b, large = a < b ? b : a;

	for (size_t i = 0; i < l->count; i++)
		if (l->kind[i].small == small && l->kind[i].large == large) {
			l->kind[i].copies += copies;
			return;
		}
	if (l->count < KINDS_MAX && small)
		l->kind[l->count++] = (struct kind){ small, large, copies };
}

/* Split over `split` ranks: projections by their heads, feed-forward by its size. What every rank holds whole
 * is not told apart from what one of them splits. */
static void look_make(const struct architecture *a, uint64_t split, bool qkv_fused, bool mlp_fused,
		      struct look *ret)
{
	uint64_t q = a->heads * a->head_dim / split, kv = a->kv_heads * a->head_dim / split, h = a->hidden;
	uint64_t feed = (a->experts ? a->expert_feed : a->feed) / split;
	double layers = (double)a->layers, each = a->experts ? layers * (double)a->experts : layers;

	*ret = (struct look){ .count = 0 };
	for (size_t i = 0; i < a->attentions; i++)
		look_add(ret, a->attention[i].small, a->attention[i].large, a->attention[i].copies);
	if (!a->attentions) {
		look_add(ret, h, qkv_fused ? q + 2 * kv : q, layers);
		if (!qkv_fused)
			look_add(ret, h, kv, 2 * layers);
		look_add(ret, q, h, layers);
	}
	if (!a->is_gated)
		look_add(ret, h, feed, 2 * each);
	else if (!mlp_fused)
		look_add(ret, h, feed, 3 * each);
	else {
		look_add(ret, h, 2 * feed, each);
		look_add(ret, h, feed, each);
	}
}

/* The part of the parameters that both put into the same weights; the head aside. */
static double alike(const struct look *l, const struct model_fingerprint *f)
{
	double all_l = 0, all_f = 0, both = 0;

	for (size_t i = 0; i < l->count; i++)
		all_l += l->kind[i].copies * (double)l->kind[i].small * (double)l->kind[i].large;
	for (size_t i = 0; i < f->weights; i++)
		if (!f->vocabulary ||
		    (f->weight[i].small != f->vocabulary && f->weight[i].large != f->vocabulary))
			all_f +=
				f->weight[i].copies * (double)f->weight[i].small * (double)f->weight[i].large;
	for (size_t i = 0; i < l->count && all_f > 0; i++)
		for (size_t k = 0; k < f->weights; k++) {
			const struct kind *x = &l->kind[i];
			const struct model_weight *y = &f->weight[k];
			double size = (double)x->small * (double)x->large;

			if (x->small == y->small && x->large == y->large)
				both += fmin(x->copies * size / all_l, y->copies * size / all_f);
		}
	return both;
}

static double score_of(const struct architecture *a, uint64_t split, bool qkv_fused, bool mlp_fused,
		       const struct model_fingerprint *f)
{
	struct look l;
	double score;

	look_make(a, split, qkv_fused, mlp_fused, &l);
	score = alike(&l, f);
	if (!f->layers || f->layers < a->layers)
		score *= 0.95; /* a stage, or not told */
	else if (f->layers > a->layers)
		score *= 0.5;
	if (!f->vocabulary)
		return score * 0.95;
	return f->vocabulary == a->vocabulary || f->vocabulary * split == a->vocabulary ? score : score * 0.8;
}

static void keep(struct model_fingerprint *f, const struct model_match *m)
{
	size_t at = f->matches;

	while (at > 0 && f->match[at - 1].score < m->score)
		at--;
	if (at == MODEL_MATCHES_MAX)
		return;
	if (f->matches < MODEL_MATCHES_MAX)
		f->matches++;
	memmove(&f->match[at + 1], &f->match[at], (f->matches - 1 - at) * sizeof(*m));
	f->match[at] = *m;
}

void model_match(const struct architectures *known, struct model_fingerprint *f)
{
	f->matches = 0;
	for (size_t i = 0; i < known->count && f->weights; i++) {
		const struct architecture *a = &known->row[i];
		struct model_match best = { .score = 0 };

		for (uint32_t split = 1; split <= 16; split *= 2)
			for (int fused = 0; fused < 4; fused++) {
				double score = score_of(a, split, fused & 1, fused & 2, f);

				if (score > best.score + 1e-9) {
					best.score = score;
					best.tensor_parallel = split;
				}
			}
		best.layers = (uint32_t)a->layers;
		snprintf(best.name, sizeof(best.name), "%s", a->name);
		if (best.score >= LIKE)
			keep(f, &best);
	}
}

/* --- as text --- */

void model_format(const struct model_fingerprint *f, char ret[MODEL_TEXT_MAX])
{
	int n = snprintf(ret, MODEL_TEXT_MAX, "opmeter-model 1 layers=%u vocabulary=%llu", f->layers,
			 (unsigned long long)f->vocabulary);

	for (size_t i = 0; i < f->weights && n < MODEL_TEXT_MAX - 80; i++)
		n += snprintf(ret + n, (size_t)(MODEL_TEXT_MAX - n), " %llux%llu:%.6g",
			      (unsigned long long)f->weight[i].small, (unsigned long long)f->weight[i].large,
			      f->weight[i].copies);
}

int model_parse(const char *text, struct model_fingerprint *ret)
{
	unsigned long long vocabulary, small, large;
	double copies;
	int used = 0;

	memset(ret, 0, sizeof(*ret));
	if (strlen(text) >= MODEL_TEXT_MAX ||
	    sscanf(text, "opmeter-model 1 layers=%9u vocabulary=%18llu%n", &ret->layers, &vocabulary,
		   &used) != 2 ||
	    !used)
		return -EBADMSG;
	ret->vocabulary = vocabulary;
	ret->has_passes = ret->layers > 0;
	for (text += used; *text; text += used) {
		used = 0;
		if (ret->weights == MODEL_WEIGHTS_MAX ||
		    sscanf(text, " %18llux%18llu:%24lf%n", &small, &large, &copies, &used) != 3 || !used ||
		    !small || small > large || !(copies > 0) || !(copies < 1e12))
			return -EBADMSG;
		ret->weight[ret->weights++] = (struct model_weight){ small, large, copies, copies, false };
		ret->parameters.best += copies * (double)small * (double)large;
	}
	return 0;
}

/* Of what is known only up to a factor, shares are compared. */
double model_similarity(const struct model_fingerprint *a, const struct model_fingerprint *b)
{
	bool by_share = !a->has_passes || !b->has_passes;
	double of_a = by_share ? a->parameters.best : 1, of_b = by_share ? b->parameters.best : 1, both = 0,
	       all;

	if (!(a->parameters.best > 0) || !(b->parameters.best > 0))
		return 0;
	for (size_t i = 0; i < a->weights; i++)
		for (size_t k = 0; k < b->weights; k++) {
			const struct model_weight *x = &a->weight[i], *y = &b->weight[k];

			if (x->small == y->small && x->large == y->large)
				both += fmin(x->copies / of_a, y->copies / of_b) * (double)x->small *
					(double)x->large;
		}
	all = a->parameters.best / of_a + b->parameters.best / of_b - both;
	return all > 0 ? fmin(1, both / all) : 0;
}
