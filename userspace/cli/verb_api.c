// SPDX-License-Identifier: Apache-2.0
/* `api serve` is the server; `api token` makes what lets somebody ask it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/log.h"
#include "../base/options.h"
#include "../fleet/api.h"
#include "../fleet/claims.h"
#include "../fleet/api_tokens.h"
#include "verbs.h"

static int check(const struct api_config *c)
{
	if (c->node_devices > CLAIM_DEVICES_SETTABLE) {
		log_error("api serve: --node-devices is at most %d", CLAIM_DEVICES_SETTABLE);
		return EXIT_USAGE;
	}
	if (!c->brokers || !c->tokens_path) {
		log_error("api serve: --brokers HOST:PORT and --tokens FILE must be given");
		return EXIT_USAGE;
	}
	if (c->connections_max < 1 || c->connections_max > 10000 || c->tenants_max > 1000 ||
	    c->alerts_max < 1 || c->alerts_max > 10000000 || !c->request_ns || !c->read_ns) {
		log_error(
			"api serve: --connections 1 to 10000, --metrics-tenants 0 to 1000, --alerts-max 1 to "
			"10000000, --request-time and --read-time more than nothing");
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static int serve(int argc, char **argv)
{
	struct api_config c = { .name = "fleet",
				.regimes_dir = OPMETER_DATADIR "/regimes",
				.listen = "127.0.0.1:9465",
				.connections_max = 256,
				.tenants_max = 20,
				.request_ns = 30 * 1000000000ULL,
				.alerts_max = 100000,
				.read_ns = 60 * 1000000000ULL,
				.registers_max = 1000000 };
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &c.brokers,
		  "Kafka bootstrap servers, HOST:PORT,... (must be given)" },
		{ "kafka-config", "FILE", OPTION_STRING, &c.kafka_config,
		  "librdkafka properties, key=value a line (none)" },
		{ "name", "NAME", OPTION_STRING, &c.name, "of the fleet whose totals are served (fleet)" },
		{ "listen", "ADDRESS:PORT", OPTION_STRING, &c.listen,
		  "where to serve (127.0.0.1:9465); another machine can only ask by TLS" },
		{ "tokens", "FILE", OPTION_STRING, &c.tokens_path,
		  "who may ask what, a line each (must be given); read again on SIGHUP" },
		{ "tls-cert", "FILE", OPTION_STRING, &c.tls_cert,
		  "certificate and what it is signed by, PEM (none); read again on SIGHUP" },
		{ "tls-key", "FILE", OPTION_STRING, &c.tls_key, "its key, PEM (none)" },
		{ "regimes", "DIR", OPTION_STRING, &c.regimes_dir,
		  "regimes whose thresholds are forecast (" OPMETER_DATADIR
		  "/regimes); read anew when they change" },
		{ "tenants", "FILE", OPTION_STRING, &c.tenants_path,
		  "names of all tenants, as the aggregators have it; read anew when it changes (none)" },
		{ "owners", "FILE", OPTION_STRING, &c.owners_path,
		  "who owns whom, as the aggregators have it: totals of families are told (none)" },
		{ "connections", "N", OPTION_UINT, &c.connections_max, "at once (256)" },
		{ "request-time", "TIME", OPTION_DURATION, &c.request_ns,
		  "a request that is not there whole after that is cut off (30s)" },
		{ "metrics-tenants", "N", OPTION_UINT, &c.tenants_max,
		  "of which /metrics tells one by one; the others as one sum (20)" },
		{ "alerts-max", "N", OPTION_UINT, &c.alerts_max, "the latest that are kept (100000)" },
		{ "read-time", "TIME", OPTION_DURATION, &c.read_ns,
		  "bound of one reading of the topics for days and registers (60s)" },
		{ "node-devices", "N", OPTION_UINT, &c.node_devices, "as the fleet has it (64)" },
		{ "processes-max", "N", OPTION_UINT, &c.processes_max,
		  "processes whose records are kept: 1 to 3 KB each (100000)" },
		{ "registers-max", "N", OPTION_UINT, &c.registers_max,
		  "bound of its memory, about 600 bytes each (1000000)" },
		{ "seconds", "N", OPTION_UINT, &c.seconds, "end by itself after N seconds (0: never)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "api serve",
		.summary = "Serves the fleet's totals, days, forecasts, alerts and registers over HTTP, "
			   "read-only,\n"
			   "from the topics. It keeps nothing: start as many as you like.",
		.options = options,
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	return check(&c) ?: api_run(&c);
}

static int append(const char *path, const char *line, struct error_text *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	size_t len = strlen(line);

	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (write(fd, line, len) != (ssize_t)len || fsync(fd))
		return error_set(err, -EIO, "%s: the line could not be written: is the disk full?", path);
	return 0;
}

static int make(const char *path, const char *name, const char *scope, struct error_text *err)
{
	char token[API_TOKEN_STRLEN];
	_cleanup_free_ char *line = NULL;
	int r = api_token_make(name, scope, token, &line, err);

	/* A name that is there already, or a file that is none of tokens, is found before it is spoilt. */
	if (r == 0 && access(path, F_OK) == 0)
		r = api_tokens_check(path, line, err);
	r = r ?: append(path, line, err);
	if (r == 0)
		printf("%s\n", token);
	return r;
}

static int token(int argc, char **argv)
{
	const char *path = NULL, *name = NULL, *scope = NULL;
	const struct option options[] = {
		{ "tokens", "FILE", OPTION_STRING, &path, "the file it is added to (must be given)" },
		{ "name", "NAME", OPTION_STRING, &name, "whose it is (must be given)" },
		{ "scope", "SCOPE", OPTION_STRING, &scope,
		  "all, metrics, or tenants=NAME,... (must be given)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "api token",
		.summary = "Makes a token, prints it once, and adds its hash to the file. Send SIGHUP to the "
			   "servers "
			   "then.",
		.options = options,
	};
	struct error_text err = { 0 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!path || !name || !scope) {
		log_error("api token: --tokens, --name and --scope must be given");
		return EXIT_USAGE;
	}
	r = make(path, name, scope, &err);
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r ? EXIT_FAILED : EXIT_OK;
}

int verb_api(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "serve"))
		return serve(argc - 1, argv + 1);
	if (!strcmp(what, "token"))
		return token(argc - 1, argv + 1);
	if (argc > 1 && strcmp(what, "--help")) {
		log_error("api: no '%s': serve, token", what);
		return EXIT_USAGE;
	}
	printf("usage: opmeter api serve|token [OPTION ...]\n\nThe fleet's figures over HTTP.\n\n"
	       "  serve    totals, days, forecasts, alerts and registers, read-only, from the topics\n"
	       "  token    make a token that lets somebody ask\n"
	       "  --help   print this; `opmeter api serve --help` tells the rest\n");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
