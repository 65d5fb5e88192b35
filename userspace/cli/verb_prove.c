// SPDX-License-Identifier: Apache-2.0
/* `opmeter prove LIB`: prints the row of data/offsets.csv for a vendor's file, or
 * checks that a file of rows has it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../agent/elf_image.h"
#include "../agent/prove.h"
#include "../base/cleanup.h"
#include "../base/log.h"
#include "../base/options.h"
#include "verbs.h"

struct prove_options {
	const char *source, *check;
	bool has_header;
	uint64_t timeout_ns;
};

/* Says why the file can't even be tried: what is not a library is not loaded. */
static int hash_library(int fd, uint8_t ret[OM_SHA256_SIZE], struct error_text *err)
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	int r = elf_image_open(fd, &img, err);

	if (!r)
		r = elf_image_exports(img, "cublas", &x, err);
	if (!r && !x.count)
		return error_set(err, -ENOEXEC, "not a library of matrix products");
	if (!r && !elf_exports_find(&x, "cublasLtMatmul"))
		return error_set(err, -ENOEXEC,
				 "has no descriptors to prove: only libcublasLt has, its entries take plain "
				 "arguments");
	return r ? r : elf_image_text_sha256(img, ret, err);
}

static int fill_text(const char *path, const struct prove_options *o, struct om_offsets_row *row,
		     struct error_text *err)
{
	char copy[PATH_MAX];
	const char *name;

	snprintf(copy, sizeof(copy), "%s", path);
	name = basename(copy);
	if (strlen(name) >= sizeof(row->library) || strchr(name, ','))
		return error_set(err, -EINVAL, "its name does not fit a row; link it to a shorter one");
	if (strlen(o->source) >= sizeof(row->source) || strchr(o->source, ',') || !o->source[0])
		return error_set(err, -EINVAL, "--source must be 1 to %zu characters without a comma",
				 sizeof(row->source) - 1);
	snprintf(row->library, sizeof(row->library), "%s", name);
	snprintf(row->source, sizeof(row->source), "%s", o->source);
	snprintf(row->proved, sizeof(row->proved),
		 "each attribute set and the bytes compared; opmeter prove %s", OPMETER_VERSION);
	return 0;
}

/* The rows agree in what the probes read. */
static int check_row(const char *path, const struct om_offsets_row *row, struct error_text *err)
{
	_cleanup_offsets_ struct om_offsets_table *t = NULL;
	const struct om_offsets_row *have;
	char hash[OM_SHA256_STRLEN];
	int r = om_offsets_load(path, &t, err);

	if (r)
		return r;
	have = om_offsets_find(t, row->text_sha256);
	if (!have)
		return error_set(err, 1, "%s has no row for %s", path,
				 om_sha256_format(row->text_sha256, hash));
	for (unsigned i = 0; i < OM_OFFSET_FIELD_END; i++)
		if (have->at[i] != row->at[i])
			return error_set(err, 1, "%s says %s is at %d, this library at %d", path,
					 om_offset_field_name(i), have->at[i], row->at[i]);
	return 0;
}

static void print_row(const struct prove_options *o, const struct om_offsets_row *row)
{
	char line[1024];

	if (o->has_header && !om_offsets_format_header(line, sizeof(line)))
		puts(line);
	if (!om_offsets_format_row(row, line, sizeof(line)))
		puts(line);
}

static int prove(const char *path, const struct prove_options *o)
{
	struct om_offsets_row row = { 0 };
	struct error_text err = { "" };
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? error_set(&err, -errno, "%s", strerror(errno)) : 0;

	if (!r)
		r = fill_text(path, o, &row, &err);
	if (!r)
		r = hash_library(fd, row.text_sha256, &err);
	if (r) {
		log_error("prove: %s: %s", path, err.text);
		return EXIT_USAGE;
	}
	r = prove_offsets(fd, o->timeout_ns, &row, &err);
	if (!r && o->check)
		r = check_row(o->check, &row, &err);
	if (r) {
		log_error("prove: %s: %s", path, err.text[0] ? err.text : strerror(-r));
		return r == 1 ? EXIT_FINDING : r == -EPERM ? EXIT_NOPERM : EXIT_FAILED;
	}
	print_row(o, &row);
	return EXIT_OK;
}

int verb_prove(int argc, char **argv)
{
	struct prove_options o = { .source = "not given", .timeout_ns = PROVE_TIMEOUT_DEFAULT_NS };
	const struct option options[] = {
		{ "source", "TEXT", OPTION_STRING, &o.source,
		  "the package that the file came from (not given)" },
		{ "check", "FILE", OPTION_STRING, &o.check,
		  "also check that FILE has this row; exit 3 if not" },
		{ "header", NULL, OPTION_FLAG, &o.has_header, "print the line of column names first" },
		{ "timeout", "TIME", OPTION_DURATION, &o.timeout_ns, "give up after this time (60s)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "prove",
		.operands = "LIB",
		.summary = "Prove where a vendor's libcublasLt keeps the fields of its descriptors and print "
			   "the\n"
			   "row for data/offsets.csv.",
		.options = options,
		.footer = "LIB is loaded in a child without network, privileges or write access. Use it on "
			  "files\n"
			  "from the vendor's packages, not on a tenant's.\n"
			  "Exit codes: 0 proven, 2 not such a library, 3 it behaves otherwise, 1 no answer.",
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - operand != 1) {
		log_error("prove: one library, please; `opmeter prove --help` tells the rest");
		return EXIT_USAGE;
	}
	return prove(argv[operand], &o);
}
