/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LOG_HEADS_H
#define OPMETER_CORE_LOG_HEADS_H

/*
 * The signed heads of many logs, compared as they come (docs/evidence.md, "The fleet compares"): which show
 * two logs under one name, or a log that went back. What each record says is verified with the keys that are
 * given; anything else is counted and changes nothing.
 *
 * A log has what its last OM_HEADS_KEPT heads take, about 130 bytes each, and nobody has one whose key was
 * not given: memory is bounded by the keys. Pure.
 */

#include "../base/log.h"
#include "checkpoint_seen.h"

#define OM_HEADS_KEYS_MAX 200000
#define OM_HEADS_KEPT 16	  /* of each log: heads of the largest sizes */
#define OM_HEADS_RECORD_MAX 65536 /* bytes; ours have less than a thousand */

enum om_head_answer {
	OM_HEAD_NEW,	  /* the log grew */
	OM_HEAD_KNOWN,	  /* just this head came before */
	OM_HEAD_OLD,	  /* smaller than all that are kept: sent again, or put back long ago */
	OM_HEAD_BACK,	  /* smaller than the largest, and it never came before: the log went back */
	OM_HEAD_FORK,	  /* of a size that came before with another root */
	OM_HEAD_DAMAGED,  /* no event, note or checkpoint, or its key is not the origin */
	OM_HEAD_FORGED,	  /* the signature of a key that is given is wrong */
	OM_HEAD_STRANGER, /* signed by no key that is given for this origin */
	OM_HEAD_END
};

/* Two heads of one log that show what is wrong: the one that came first, and the other. */
struct om_head_pair {
	uint64_t size[2];
	char *note[2]; /* by the log's own key, each with one signature */
	int64_t offset[2];
};

struct om_log_state {
	const char *origin;
	const char
		*source;   /* of whose agent the largest head came: what its event says; "" before one came */
	uint64_t size;	   /* of the largest head */
	uint64_t heard_ns; /* the record's time of the last head that was not known; 0: none came */
	uint64_t answers[OM_HEAD_END];			    /* how many, up to OM_HEAD_FORK */
	const struct om_head_pair *first[OM_HEAD_FORK + 1]; /* of OLD, BACK and FORK each; NULL: none */
};

/* Keys as `opmeter evidence keygen` prints them, one a line; empty lines and those that begin with # are
 * passed over. Several of one origin are of one log. -EINVAL: *err names the line; -ENOMEM. */
struct om_log_heads;
int om_log_heads_new(const char *keys, size_t len, struct om_log_heads **ret, struct error_text *err);
struct om_log_heads *om_log_heads_free(struct om_log_heads *h);
static inline void om_log_heads_freep(struct om_log_heads **h)
{
	*h = om_log_heads_free(*h);
}
size_t om_log_heads_logs(const struct om_log_heads *h);
size_t om_log_heads_heard(const struct om_log_heads *h); /* of which a head came */

struct om_head_record {
	const void *key, *value; /* value NULL: none */
	size_t key_len, len;
	int64_t offset;
	uint64_t time_ns; /* 0: not known */
};
/* For any bytes. An enum om_head_answer, or -ENOMEM. Records of one log come in their order. */
int om_log_heads_take(struct om_log_heads *h, const struct om_head_record *record);
/* Every log, in the order of origins. fn returns 0 to go on. */
int om_log_heads_each(const struct om_log_heads *h, int (*fn)(void *ctx, const struct om_log_state *s),
		      void *ctx);

#endif
