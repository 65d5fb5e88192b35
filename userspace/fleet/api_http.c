// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP library's side, libmicrohttpd: sockets, TLS, limits. Nothing of what an answer
 * says is decided here. The library bounds idle time only; who sends a byte now and then
 * is cut off by us (api_http_reap()).
 */
#include "api_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <microhttpd.h>

#include "../base/text.h"
#include "../core/file_io.h"

#define THREADS 4u
#define MEMORY_OF_CONNECTION (32u * 1024)
#define IDLE_S 10u
#define PEM_MAX (1 << 20)
#define BACKLOG 128
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* A connection, so that one that takes too long can be cut off. */
struct link {
	struct link *next, **prev;
	int fd;
	uint64_t since_ns; /* CLOCK_MONOTONIC: it began, or its last answer ended */
	bool is_ours;	   /* it waits for us, not we for it */
};

/* What serves with one certificate. */
struct server {
	struct api_http *h;
	struct MHD_Daemon *daemon;
	/* Under the lock: how many wait for us. None may when the library ends it, so none begins to from
	 * then on. */
	unsigned suspended;
	bool is_closing;
	int socket; /* given back by the library when it retired; -1: none */
};

struct api_http {
	struct api *api;
	struct server *server;
	pthread_mutex_t lock; /* of the links, and of what is suspended */
	struct link *links;
	unsigned count;
	struct sockaddr_storage address;
	bool is_ipv6;
	char *cert, *key;
	uint16_t port;
	int socket;	     /* that listens; -1: none yet */
	struct server *old;  /* with the certificate before, until its connections are through */
	uint64_t old_end_ns; /* CLOCK_MONOTONIC */
};

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_ctx,
			  enum MHD_ConnectionNotificationCode code)
{
	struct api_http *h = ((struct server *)ctx)->h;
	struct link *l = *socket_ctx;

	pthread_mutex_lock(&h->lock);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

		l = calloc(1, sizeof(*l));
		if (l) {
			*l = (struct link){ h->links, &h->links, info ? info->connect_fd : -1,
					    fleet_now_ns(CLOCK_MONOTONIC), false };
			if (l->next)
				l->next->prev = &l->next;
			h->links = l;
		}
		*socket_ctx = l;
		h->count++;
	} else {
		if (l) {
			*l->prev = l->next;
			if (l->next)
				l->next->prev = l->prev;
			free(l);
		}
		h->count--;
	}
	pthread_mutex_unlock(&h->lock);
}

static struct link *link_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* Ends it, unless somebody waits for us: then -EBUSY, but for `force`, when nobody is left who could. */
static int server_end(struct server *s, bool force)
{
	struct api_http *h = s->h;
	bool is_busy;

	pthread_mutex_lock(&h->lock);
	is_busy = s->suspended && !force;
	s->is_closing = !is_busy;
	pthread_mutex_unlock(&h->lock);
	if (is_busy)
		return -EBUSY;
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	if (s->socket >= 0)
		close(s->socket);
	free(s);
	return 0;
}

void api_http_reap(struct api_http *h)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC), bound = h->api->config->request_ns;

	pthread_mutex_lock(&h->lock);
	/* The library tells of an end before it closes the socket, under this lock: the number is still the
	 * connection's. */
	for (struct link *l = h->links; l; l = l->next)
		if (!l->is_ours && l->fd >= 0 && now - l->since_ns > bound) {
			shutdown(l->fd, SHUT_RDWR);
			l->fd = -1;
			atomic_fetch_add(&h->api->cut_off, 1);
		}
	pthread_mutex_unlock(&h->lock);
	if (h->old && now >= h->old_end_ns && server_end(h->old, false) == 0)
		h->old = NULL;
}

/* The raw target, before the library decodes it. What is returned is the request's context. */
static void *on_target(void *ctx, const char *uri, struct MHD_Connection *c)
{
	struct api_request *rq = calloc(1, sizeof(*rq));
	size_t len = strlen(uri);

	if (!rq)
		return NULL;
	rq->is_too_long = len > API_TARGET_MAX;
	rq->target_len = len;
	rq->target = strndup(uri, rq->is_too_long ? 0 : len);
	if (!rq->target) {
		free(rq);
		return NULL;
	}
	return rq;
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **request,
			 enum MHD_RequestTerminationCode code)
{
	struct api_http *h = ((struct server *)ctx)->h;
	struct api_request *rq = *request;
	struct link *l = link_of(c);

	if (l) {
		pthread_mutex_lock(&h->lock);
		l->since_ns = fleet_now_ns(CLOCK_MONOTONIC);
		pthread_mutex_unlock(&h->lock);
	}
	if (!rq)
		return;
	study_unref(rq->study);
	free(rq->target);
	free(rq->body);
	free(rq);
	*request = NULL;
}

static enum MHD_Result send_answer(struct api_http *h, struct MHD_Connection *c, struct api_request *rq)
{
	static const char none[] =
		"{\"title\":\"Internal Server Error\",\"status\":500,\"reason\":\"failed\","
		"\"detail\":\"Out of memory.\"}";
	struct MHD_Response *r;
	enum MHD_Result ok;
	char seconds[16];

	if (rq->body) {
		r = MHD_create_response_from_buffer(rq->body_len, rq->body, MHD_RESPMEM_MUST_FREE);
		if (r)
			rq->body = NULL;
	} else {
		const char *text = rq->fixed ?: none;

		rq->status = rq->fixed ? rq->status : 500;
		r = MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
	}
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, rq->type ?: "application/json");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (rq->status == 401)
		MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (rq->status == 405)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	snprintf(seconds, sizeof(seconds), "%u", rq->retry_after_s);
	if (rq->retry_after_s)
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	ok = MHD_queue_response(c, rq->status, r);
	MHD_destroy_response(r);
	if (rq->status / 100 < 6)
		atomic_fetch_add(&h->api->answered[rq->status / 100], 1);
	return ok;
}

/* Who waits for us is not held to the time of a request, and not forgotten when we end. False: it is too late
 * to wait. */
static bool suspend(struct server *s, struct MHD_Connection *c, struct api_request *rq)
{
	struct link *l = link_of(c);
	bool is_closing;

	pthread_mutex_lock(&s->h->lock);
	is_closing = s->is_closing;
	if (l && !is_closing)
		l->is_ours = true;
	s->suspended += !is_closing;
	pthread_mutex_unlock(&s->h->lock);
	if (is_closing)
		return false;
	rq->server = s;
	rq->connection = c;
	MHD_suspend_connection(c);
	return true;
}

/* Nobody counts as through before the library has it back: it may end as soon as none is left. */
static void resume(struct api_request *rq)
{
	struct server *s = rq->server;
	struct api_http *h = s->h;
	struct link *l = link_of(rq->connection);

	pthread_mutex_lock(&h->lock);
	if (l) {
		l->is_ours = false;
		l->since_ns = fleet_now_ns(CLOCK_MONOTONIC);
	}
	pthread_mutex_unlock(&h->lock);
	MHD_resume_connection(rq->connection);
	pthread_mutex_lock(&h->lock);
	s->suspended--;
	pthread_mutex_unlock(&h->lock);
}

/* From any thread. After resume() the request is the library's again. */
static void on_study(void *ctx, struct study *study, int error)
{
	struct api_request *rq = ctx;

	rq->study = study;
	rq->study_error = error;
	resume(rq);
}

/* The library does not look at a connection that waits for us. The other side has closed it, or its half: who
 * does that waits for no answer. */
static bool is_gone(void *ctx)
{
	const struct api_request *rq = ctx;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd fd = { .fd = info ? info->connect_fd : -1, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **request)
{
	struct server *s = ctx;
	struct api_http *h = s->h;
	struct api_request *rq = *request;
	struct study_ask ask;
	int r;

	if (!rq)
		return MHD_NO;
	if (strcmp(method, "GET") && strcmp(method, "HEAD")) {
		answer_problem(rq, 405, "read-only", "Only GET and HEAD: nothing can be changed here.");
		return send_answer(h, c, rq);
	}
	/* An answer before the request is through would end the connection; what a GET brings is passed over.
	 */
	if (!rq->is_seen || *size) {
		rq->is_seen = true;
		*size = 0;
		return MHD_YES;
	}
	rq->authorization = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
	if (api_answer(h->api, rq, &ask) == 0)
		return send_answer(h, c, rq);
	/* Before it is asked for: it may be there at once. */
	if (!suspend(s, c, rq)) {
		rq->study_error = -ECANCELED;
		api_answer(h->api, rq, &ask);
		return send_answer(h, c, rq);
	}
	r = studies_want(h->api->studies, &ask, rq->asker, &(struct study_waiter){ on_study, is_gone, rq });
	if (r) {
		/* Only then is it still ours. */
		rq->study_error = r;
		resume(rq);
	}
	return MHD_YES;
}

static void on_log(void *ctx, const char *fmt, va_list args)
{
	char line[300];

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("http: %s", line);
}

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static int parse_address(struct api_http *h, struct error_text *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				  .ai_socktype = SOCK_STREAM },
			*info = NULL;
	const struct api_config *c = h->api->config;
	const char *port;
	char host[64];

	if (text_split_address(c->listen, host, sizeof(host), &port) ||
	    getaddrinfo(host, port, &hints, &info))
		return error_set(err, -EINVAL,
				 "--listen: expected ADDRESS:PORT such as 127.0.0.1:9465, not '%s'",
				 c->listen);
	memcpy(&h->address, info->ai_addr, info->ai_addrlen);
	h->is_ipv6 = info->ai_family == AF_INET6;
	freeaddrinfo(info);
	if (!c->tls_cert != !c->tls_key)
		return error_set(err, -EINVAL, "--tls-cert and --tls-key go together");
	if (!c->tls_cert && !is_loopback(&h->address))
		return error_set(
			err, -EINVAL,
			"--listen %s can be reached from other machines: without --tls-cert and --tls-key "
			"tokens and figures would cross the network in the clear, so it is refused",
			c->listen);
	return 0;
}

static int load_pem(const char *path, char **ret, struct error_text *err)
{
	size_t len;
	char *text;
	int r = om_file_get(AT_FDCWD, path, PEM_MAX, &text, &len);

	if (r)
		return error_set(err, r, "%s: %s", path, strerror(-r));
	free(*ret);
	*ret = text;
	return 0;
}

static int load_pair(const struct api_config *c, char **cert, char **key, struct error_text *err)
{
	return load_pem(c->tls_cert, cert, err) ?: load_pem(c->tls_key, key, err);
}

static void free_pem(char *cert, char *key)
{
	free(cert);
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
}

static struct MHD_Daemon *start_daemon(struct server *s, int fd, char *cert, char *key)
{
	struct api_http *h = s->h;
	unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG |
			 MHD_ALLOW_SUSPEND_RESUME | (h->is_ipv6 ? MHD_USE_IPv6 : 0) |
			 (cert ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, cert },
					{ MHD_OPTION_HTTPS_MEM_KEY, 0, key },
					{ MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_PRIORITIES },
					{ MHD_OPTION_END, 0, NULL } };

	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned)h->api->config->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
				IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_OF_CONNECTION,
				MHD_OPTION_THREAD_POOL_SIZE, THREADS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
				MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_NOTIFY_COMPLETED,
				on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
				MHD_OPTION_ARRAY, cert ? tls : tls + 3, MHD_OPTION_END);
}

/* On the socket that listens. NULL: certificate and key do not fit, or there is no memory. */
static struct server *start(struct api_http *h, char *cert, char *key)
{
	struct server *s = calloc(1, sizeof(*s));
	/* The library closes it at its end, and if it cannot begin. */
	int fd = s ? fcntl(h->socket, F_DUPFD_CLOEXEC, 0) : -1;

	if (fd >= 0) {
		s->h = h;
		s->socket = -1;
		s->daemon = start_daemon(s, fd, cert, key);
		if (s->daemon)
			return s;
	}
	free(s);
	return NULL;
}

int api_http_new(struct api *a, struct api_http **ret, struct error_text *err)
{
	const struct api_config *c = a->config;
	struct api_http *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->api = a;
	h->socket = -1;
	pthread_mutex_init(&h->lock, NULL);
	r = parse_address(h, err);
	if (r == 0 && c->tls_cert)
		r = load_pair(c, &h->cert, &h->key, err);
	*ret = r ? api_http_free(h) : h;
	return r;
}

/* The socket is ours, so that it outlives a change of certificate. */
static int listen_here(struct api_http *h, struct error_text *err)
{
	_cleanup_close_ int fd = socket(h->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = h->is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&h->address, len) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&h->address, &len))
		return error_set(err, -errno, "--listen %s: %s", h->api->config->listen, strerror(errno));
	h->port = ntohs(h->is_ipv6 ? ((struct sockaddr_in6 *)&h->address)->sin6_port
				   : ((struct sockaddr_in *)&h->address)->sin_port);
	h->socket = TAKE_FD(fd);
	return 0;
}

int api_http_start(struct api_http *h, struct error_text *err)
{
	int r = listen_here(h, err);

	if (r)
		return r;
	h->server = start(h, h->cert, h->key);
	return h->server ? 0
			 : error_set(err, -EINVAL,
				     h->cert ? "%s: certificate and key do not fit" : "%s: cannot be served",
				     h->cert ? h->api->config->tls_cert : h->api->config->listen);
}

/* Takes no further connections; those there are have some time left. */
static void retire(struct api_http *h, struct server *s)
{
	s->socket = MHD_quiesce_daemon(s->daemon);
	h->old = s;
	h->old_end_ns = fleet_now_ns(CLOCK_MONOTONIC) + h->api->config->request_ns;
}

int api_http_reload(struct api_http *h, struct error_text *err)
{
	const struct api_config *c = h->api->config;
	char *cert = NULL, *key = NULL;
	struct server *fresh = NULL;
	int r = c->tls_cert ? load_pair(c, &cert, &key, err) : 0;

	if (r || !cert || (!strcmp(cert, h->cert) && !strcmp(key, h->key))) {
		free_pem(cert, key);
		return r;
	}
	/* There is one before at most. */
	if (h->old) {
		r = server_end(h->old, false);
		h->old = r ? h->old : NULL;
	}
	if (r == 0) {
		fresh = start(h, cert, key);
		r = fresh ? 0 : error_set(err, -EINVAL, "%s, %s: they do not fit", c->tls_cert, c->tls_key);
	}
	if (r) {
		free_pem(cert, key);
		return r;
	}
	retire(h, h->server);
	h->server = fresh;
	free_pem(h->cert, h->key);
	h->cert = cert;
	h->key = key;
	return 0;
}

struct api_http *api_http_free(struct api_http *h)
{
	if (!h)
		return NULL;
	if (h->old)
		server_end(h->old, true);
	if (h->server)
		server_end(h->server, true);
	if (h->socket >= 0)
		close(h->socket);
	pthread_mutex_destroy(&h->lock);
	free_pem(h->cert, h->key);
	free(h);
	return NULL;
}

uint16_t api_http_port(const struct api_http *h)
{
	return h->port;
}

unsigned api_http_connections(struct api_http *h)
{
	unsigned n;

	pthread_mutex_lock(&h->lock);
	n = h->count;
	pthread_mutex_unlock(&h->lock);
	return n;
}
