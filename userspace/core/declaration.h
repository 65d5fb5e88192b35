/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_DECLARATION_H
#define OPMETER_CORE_DECLARATION_H

/*
 * What the fleet cannot see and people declare: operations at other providers,
 * synthetic data, publication of weights, the parent of a model, facts that a
 * regime asks for. An append-only file of JSON lines (docs/formats.md,
 * "Declaration"): each line carries the digest of the line before it, so that a
 * line that was changed, moved, or removed before the last is found; declaration_head.h finds the last. A
 * later record of the same kind, subject and other takes the place of an earlier one; a withdrawal undoes
 * one.
 *
 * They enter verdicts as declared, and verdicts say so: with the digest of their
 * evidence in both bounds, without one in the upper bound only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "../base/opcount.h"
#include "merkle.h"
#include "register.h"

enum declaration_kind {
	DECLARE_EXTERNAL,    /* operations of training elsewhere; other: where */
	DECLARE_TRAINING,    /* all operations of a model's own training, without parents and generators */
	DECLARE_SYNTHETIC,   /* data of a generator; other: the generator */
	DECLARE_PUBLICATION, /* the model's weights are published */
	DECLARE_PARENT,	     /* it was trained on from another model; other: which */
	DECLARE_FACT,	     /* what a regime asks for; other: the fact's name */
	DECLARE_WITHDRAWAL,  /* of an earlier record; other: its id in hex */
	DECLARE_END,
};
const char *declaration_kind_name(enum declaration_kind k);
int declaration_kind_parse(const char *name, enum declaration_kind *ret); /* -EINVAL */

#define DECLARATION_NAME_MAX 144
#define DECLARATIONS_MAX 100000
struct declaration {
	struct om_id id;
	enum declaration_kind kind;
	char subject[DECLARATION_NAME_MAX]; /* "tenant/model", "lineage/name", or a model elsewhere */
	char other[DECLARATION_NAME_MAX];
	uint64_t at_ns;	    /* Unix time it was declared */
	char by[128];	    /* the person */
	char evidence[256]; /* what it rests on, in words; may be empty */
	char digest[65];    /* SHA-256 of the evidence, 64 hex digits; empty: none was given */
	opcount low, high;  /* external, training; synthetic: operations that generated the data */
	uint32_t share_low_ppm, share_high_ppm; /* synthetic: of the subject's operations */
	bool value;				/* fact: its value; synthetic: the data is published */
	uint64_t withdrawn_ns;			/* 0: not withdrawn. Not in the record */
	unsigned line;
};

/* One line without its end, malloc'ed; the id is worked out. prev: SHA-256 of the line before, 64 zeros for
 * the first. NULL: out of memory. */
char *declaration_encode(struct declaration *d, const char *prev);
/* 0; -EBADMSG with the reason in *err (no file, no line); -EPROTONOSUPPORT; -ENOMEM. */
int declaration_decode(const void *json, size_t len, struct declaration *ret, char ret_prev[65],
		       struct error_text *err);

struct declarations;
/* -EINVAL with FILE:LINE, or where FILE.head (declaration_head.h) names what is not there. A file that is not
 * there is -ENOENT. */
int declarations_load(const char *path, struct declarations **ret, struct error_text *err);
/* The same where FILE.head must name all of them, signed by one of the public keys that stand in the file
 * `keys`, one a line. Read while nobody appends: `wait` some seconds until that is so, else -EAGAIN. */
int declarations_load_signed(const char *path, const char *keys, bool wait, struct declarations **ret,
			     struct error_text *err);
int declarations_parse(const char *name, const void *text, size_t len, struct declarations **ret,
		       struct error_text *err);
struct declarations *declarations_free(struct declarations *d);
static inline void declarations_freep(struct declarations **d)
{
	*d = declarations_free(*d);
}
size_t declarations_count(const struct declarations *d);
const struct declaration *declarations_at(const struct declarations *d, size_t i); /* in the file's order */
/* Whether what stood there before still does, at its place: the file only grows, so one that lost some of its
 * records was cut or changed. */
bool declarations_continue(const struct declarations *d, const struct declarations *before);
/* What holds at a time for a subject, one after the other; NULL: no more. d may be NULL. */
const struct declaration *declarations_next(const struct declarations *d, const char *subject,
					    enum declaration_kind kind, uint64_t now_ns,
					    const struct declaration *after);
bool declarations_concern(const struct declarations *d, const char *subject);

/* The root of the RFC 6962 tree over the first `size` lines, at most all; a line is a leaf, without its end.
 */
void declarations_root(const struct declarations *d, size_t size, uint8_t ret[OM_HASH_SIZE]);

/* Reads the file, checks it and its head, appends one record behind it and syncs; makes the file if it is not
 * there. Then the head is written, signed with those keys of a directory that are in force now; NULL: not
 * signed.
 * d->id is set. A withdrawal must name a record. -EINVAL with *err: nothing was written; 1 with *err: the
 * record stands, and its head does not. */
int declarations_append(const char *path, struct declaration *d, const char *keys, uint64_t now_ns,
			struct error_text *err);

#endif
