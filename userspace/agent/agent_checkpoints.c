// SPDX-License-Identifier: Apache-2.0
/*
 * The agent signs its ledger's log (docs/evidence.md): at the beginning, each --checkpoint, at the end. The
 * keys' directory is read anew each time, so that keys are rotated under a running agent, and is held only
 * meanwhile.
 *
 * Signed is what grows from what was signed last, or nothing: then it is said once and counted each time, and
 * the meter goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/checkpoint.h"
#include "../core/evidence_key.h"
#include "agent_internal.h"

struct agent_checkpoints {
	struct om_ledger_growth growth;
	struct agent_checkpoint_totals totals;
	int last_error; /* as last said */
};

int agent_checkpoints_open(struct agent *a, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	int r;

	if (!a->config->evidence_keys)
		return 0;
	r = om_signer_try(a->config->evidence_keys, &s, err);
	/* Another signs just now: the keys are there. */
	if (r && r != -EWOULDBLOCK)
		return r == -EPERM ? r : -EINVAL;
	error_clear(err);
	a->checkpoints = calloc(1, sizeof(*a->checkpoints));
	if (!a->checkpoints)
		return -ENOMEM;
	return 0;
}

struct agent_checkpoints *agent_checkpoints_free(struct agent_checkpoints *c)
{
	free(c);
	return NULL;
}

static bool is_refusal(int r)
{
	return r == -ESTALE || r == -EUCLEAN;
}

static void tell(struct agent *a, int r, const struct error_text *err)
{
	struct agent_checkpoints *c = a->checkpoints;
	const char *what = err->text[0] ? err->text : strerror(-r);

	if (r == c->last_error)
		return;
	c->last_error = r;
	if (is_refusal(r)) {
		log_error("no checkpoint: %s", what);
		agent_say(a, "the ledger is not the one whose head was signed", "ledger",
			  "It was cut, restored from an older copy or rewritten, or its keys are another "
			  "log's: nothing "
			  "more is signed. Compare it with the checkpoints on Kafka (docs/evidence.md, "
			  "Forks).");
	} else {
		log_warn("no checkpoint: %s; tried again", what);
		agent_say(a, "the ledger's head cannot be signed", "ledger",
			  "The agent's log says why. It is tried again; what is not signed can be rewritten "
			  "unseen.");
	}
}

void agent_checkpoint(struct agent *a)
{
	struct agent_checkpoints *c = a->checkpoints;
	struct error_text err = { 0 };
	struct om_checkpoint made;
	int r;

	if (!c)
		return;
	c->growth.ledger = a->ledger;
	r = om_checkpoint_advance(&c->growth, a->config->evidence_keys, agent_now_ns(), &made, &err);
	if (r >= 0) {
		c->totals.made += r == 0;
		c->totals.size = made.size;
		c->last_error = 0;
	} else if (r == -EWOULDBLOCK) {
		c->totals.postponed++;
	} else {
		if (is_refusal(r))
			c->totals.refused++;
		else
			c->totals.failed++;
		tell(a, r, &err);
	}
}

const struct agent_checkpoint_totals *agent_checkpoints_totals(const struct agent *a)
{
	return a->checkpoints ? &a->checkpoints->totals : NULL;
}
