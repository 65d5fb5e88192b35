// SPDX-License-Identifier: Apache-2.0
#include "openmetrics.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <microhttpd.h>

#include "../userspace/base/cleanup.h"
#include "../userspace/base/text.h"

#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct om_openmetrics {
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock; /* of `page` */
	char *page;
	FILE *draft;
	char *draft_text;
	size_t draft_len;
	uint64_t samples, samples_max, left_out;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, const char *text)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **request)
{
	struct om_openmetrics *m = ctx;
	enum MHD_Result r;

	if (strcmp(method, "GET"))
		return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "only GET\n");
	if (!strcmp(url, "/healthz"))
		return answer(c, MHD_HTTP_OK, "text/plain", "ok\n");
	if (strcmp(url, "/metrics"))
		return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", "see /metrics\n");
	pthread_mutex_lock(&m->lock);
	r = answer(c, MHD_HTTP_OK, CONTENT_TYPE, m->page ? m->page : "# EOF\n");
	pthread_mutex_unlock(&m->lock);
	return r;
}

struct om_openmetrics *om_openmetrics_page(void)
{
	struct om_openmetrics *m = calloc(1, sizeof(*m));

	if (m)
		pthread_mutex_init(&m->lock, NULL);
	return m;
}

char *om_openmetrics_take(struct om_openmetrics *m)
{
	return TAKE_PTR(m->page);
}

int om_openmetrics_open(const char *listen, struct om_openmetrics **ret, struct error_text *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM },
			*info = NULL;
	struct om_openmetrics *m;
	const char *port;
	char host[64];
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG;

	if (text_split_address(listen, host, sizeof(host), &port) || getaddrinfo(host, port, &hints, &info))
		return error_set(err, -EINVAL,
				 "--listen: expected ADDRESS:PORT such as 127.0.0.1:9464, not '%s'", listen);
	m = om_openmetrics_page();
	if (!m) {
		freeaddrinfo(info);
		return -ENOMEM;
	}
	if (info->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	m->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, m, MHD_OPTION_SOCK_ADDR, info->ai_addr,
				     MHD_OPTION_CONNECTION_LIMIT, 32u, MHD_OPTION_CONNECTION_TIMEOUT, 10u,
				     MHD_OPTION_END);
	freeaddrinfo(info);
	if (!m->daemon) {
		om_openmetrics_free(m);
		return error_set(err, -EADDRINUSE, "--listen %s: cannot be listened on (is the port taken?)",
				 listen);
	}
	*ret = m;
	return 0;
}

struct om_openmetrics *om_openmetrics_free(struct om_openmetrics *m)
{
	if (!m)
		return NULL;
	if (m->daemon)
		MHD_stop_daemon(m->daemon);
	if (m->draft)
		fclose(m->draft);
	free(m->draft_text);
	free(m->page);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

void om_openmetrics_begin(struct om_openmetrics *m, uint64_t samples_max)
{
	m->draft = open_memstream(&m->draft_text, &m->draft_len);
	m->samples = m->left_out = 0;
	m->samples_max = samples_max;
}

void om_openmetrics_family(struct om_openmetrics *m, const char *name, const char *type, const char *unit,
			   const char *help)
{
	if (!m->draft)
		return;
	fprintf(m->draft, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(m->draft, "# UNIT %s %s\n", name, unit);
	fprintf(m->draft, "# HELP %s %s\n", name, help);
}

static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			fputc('\\', f);
		if (*s == '\n')
			fputs("\\n", f);
		else
			fputc(*s, f);
	}
}

void om_openmetrics_sample(struct om_openmetrics *m, const char *name, const char *const *labels,
			   double value)
{
	const char *before = "{";

	if (!m->draft)
		return;
	if (m->samples++ >= m->samples_max) {
		m->left_out++;
		return;
	}
	fputs(name, m->draft);
	for (; labels && *labels; labels += 2, before = ",") {
		fprintf(m->draft, "%s%s=\"", before, labels[0]);
		put_escaped(m->draft, labels[1]);
		fputc('"', m->draft);
	}
	fprintf(m->draft, "%s %.17g\n", *before == ',' ? "}" : "", value);
}

void om_openmetrics_commit(struct om_openmetrics *m)
{
	uint64_t left_out = m->left_out;
	char *old;

	if (!m->draft)
		return;
	om_openmetrics_family(m, "opmeter_samples_left_out", "gauge", NULL,
			      "Samples beyond the bound of this page; what it is a view of has them all.");
	fprintf(m->draft, "opmeter_samples_left_out %llu\n# EOF\n", (unsigned long long)left_out);
	fclose(m->draft);
	m->draft = NULL;
	pthread_mutex_lock(&m->lock);
	old = m->page;
	m->page = TAKE_PTR(m->draft_text);
	pthread_mutex_unlock(&m->lock);
	free(old);
}
