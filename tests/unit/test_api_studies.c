// SPDX-License-Identifier: Apache-2.0
/* Who waits for what is read from the topics: places are few, and who has gone keeps none. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/fleet/api_internal.h"

#define OF_ONE 8 /* places of one token */

static struct client {
	atomic_bool has_gone;
	atomic_int answers, error;
	sem_t *holds; /* the thread that answers it; NULL: nothing */
	sem_t answered;
} client[64];

static void on_answer(void *ctx, struct study *study, int error)
{
	struct client *c = ctx;

	assert_null(study);
	atomic_store(&c->error, error);
	atomic_fetch_add(&c->answers, 1);
	sem_post(&c->answered);
	if (c->holds)
		sem_wait(c->holds);
}

static bool has_gone(void *ctx)
{
	return atomic_load(&((struct client *)ctx)->has_gone);
}

static int want(struct studies *s, const char *asker, struct client *c)
{
	const struct study_ask ask = { .group = OM_GROUP_MODEL, .first = "acme", .second = "m" };

	return studies_want(s, &ask, asker, &(struct study_waiter){ on_answer, has_gone, c });
}

/* The reading thread is held while it answers somebody who has gone, so that all others wait; no topic is there to be read. */
static void who_has_gone_keeps_no_place(void **state)
{
	const struct api_config config = { .brokers = "127.0.0.1:1", .name = "f" };
	struct api api = { .config = &config };
	struct studies *s = studies_new(&api);
	struct client *first = &client[0], *late = &client[OF_ONE + 1], *other = &client[OF_ONE + 2];
	sem_t hold;

	assert_non_null(s);
	sem_init(&hold, 0, 0);
	for (size_t i = 0; i < sizeof(client) / sizeof(client[0]); i++)
		sem_init(&client[i].answered, 0, 0);
	first->holds = &hold;
	first->has_gone = true;
	assert_int_equal(want(s, "first", first), 0);
	sem_wait(&first->answered);
	for (int i = 1; i <= OF_ONE; i++)
		assert_int_equal(want(s, "one", &client[i]), 0);
	assert_int_equal(want(s, "one", late), -EDQUOT);
	for (int i = 1; i <= OF_ONE; i++)
		assert_int_equal(client[i].answers, 0);
	/* All but the last of them close. */
	for (int i = 1; i < OF_ONE; i++)
		client[i].has_gone = true;
	assert_int_equal(want(s, "one", late), 0);
	for (int i = 1; i < OF_ONE; i++)
		assert_true(client[i].answers == 1 && client[i].error == -ECONNRESET);
	assert_true(client[OF_ONE].answers == 0 && late->answers == 0);
	/* So it is for the places of all tokens together. */
	for (int i = 0; i < 30; i++) {
		char asker[24];

		snprintf(asker, sizeof(asker), "t%d", i);
		client[20 + i].has_gone = true;
		assert_int_equal(want(s, asker, &client[20 + i]), 0);
	}
	assert_int_equal(want(s, "other", other), 0);
	for (int i = 0; i < 30; i++)
		assert_true(client[20 + i].answers == 1 && client[20 + i].error == -ECONNRESET);
	/* Nothing is read for who went while it waited. */
	client[OF_ONE].has_gone = late->has_gone = other->has_gone = true;
	sem_post(&hold);
	sem_wait(&client[OF_ONE].answered);
	sem_wait(&late->answered);
	sem_wait(&other->answered);
	assert_true(client[OF_ONE].error == -ECONNRESET && late->error == -ECONNRESET && other->error == -ECONNRESET);
	studies_stop(s);
	studies_free(s);
	assert_true(first->answers == 1 && late->answers == 1 && other->answers == 1);
	sem_destroy(&hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_gone_keeps_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
