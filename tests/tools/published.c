// SPDX-License-Identifier: Apache-2.0
/*
 * What a node learns of the alerts, and of the cases, that a broker has already.
 *
 *   published BROKERS KAFKA-CONFIG
 *
 * Prints a line for each: "alerts N", or "alerts refused".
 */
#include <stdio.h>
#include <stdlib.h>

#include "exporters/kafka.h"

static void count(void *ctx, const void *key, size_t len)
{
	++*(size_t *)ctx;
}

int main(int argc, char **argv)
{
	struct om_kafka_config config = { argc == 3 ? argv[1] : "", argc == 3 ? argv[2] : NULL };
	struct error_text err = { 0 };
	struct om_exporter *e;

	if (argc != 3) {
		fprintf(stderr, "usage: published BROKERS KAFKA-CONFIG\n");
		return 2;
	}
	if (om_kafka_open(&config, &e, &err)) {
		fprintf(stderr, "published: %s\n", err.text);
		return 1;
	}
	for (int cases = 0; cases < 2; cases++) {
		size_t n = 0;

		if (e->ops->published(e, cases, count, &n))
			printf("%s refused\n", cases ? "cases" : "alerts");
		else
			printf("%s %zu\n", cases ? "cases" : "alerts", n);
	}
	e->ops->free(e);
	return 0;
}
