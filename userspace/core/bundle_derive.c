// SPDX-License-Identifier: Apache-2.0
/* The part of a bundle that is for people: made from the entries by whoever seals it, and again by whoever
 * verifies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "bundle_internal.h"
#include "case_gather.h"
#include "hex.h"
#include "reading_json.h"

static const char instructions[] =
	"What this is\n"
	"\n"
	"A case, sealed by opmeter: every act of it that the log held when it was made, what the acts come "
	"to,\n"
	"and what proves that these bytes are the ones that were logged. The format is the section\n"
	"\"Evidence bundle\" of docs/formats.md.\n"
	"\n"
	"To verify it, on a machine that has opmeter, with the public key (a line of text) of whoever sealed "
	"it,\n"
	"got from them by another way than this file:\n"
	"\n"
	"    opmeter evidence verify BUNDLE.tar --key KEY.pub\n"
	"\n"
	"To verify it without opmeter:\n"
	"\n"
	"1. MANIFEST is a signed note: text, a blank line, signatures. Each signature line is an em dash, "
	"the\n"
	"   key's name and base64 of 4 bytes of key id and 64 of an Ed25519 signature over the text with its "
	"last\n"
	"   line end. The lines \"signer\" are the public keys of all signatures; yours must be one of "
	"them.\n"
	"2. The lines \"file\" have SHA-256, size and name of every other file here; there is no other.\n"
	"3. checkpoint is a signed note by the same key: the log's name, its number of leaves, and its root "
	"in\n"
	"   base64 (RFC 6962, SHA-256).\n"
	"4. Each line of entries.jsonl is an entry: leaf is the 60 bytes that are in the tree, with the "
	"number,\n"
	"   kind, time and length of the entry, and SHA-256(salt, payload); proof is its RFC 6962 inclusion "
	"proof\n"
	"   in the checkpoint's tree.\n"
	"5. consistency.json, if there is one, proves that the tree grew from the one of "
	"previous.checkpoint.\n"
	"6. Acts of the kind \"evidence\" carry what other logs held, with leaf, salt and proof of their "
	"own.\n"
	"7. case.json and the other files say the same as the entries, for people: they are made from them.\n"
	"\n"
	"What it does not prove: that nothing happened after the checkpoint; that the log was never shown "
	"to\n"
	"others in another form (compare checkpoints that were published at the time); that the names of "
	"people\n"
	"in it are true; that a meter saw all there was: the record says what was lost.\n";

/* Lines of one kind of evidence. */
struct lines {
	char *text;
	size_t len;
	FILE *f;
};

enum { LINES_READINGS, LINES_ASSIGNMENTS, LINES_ALERTS, LINES_JOBS, LINES_NODES, LINES_END };
static const struct {
	const char *what, *file;
} line_files[LINES_END] = {
	[LINES_READINGS] = { "readings", "readings.jsonl" },
	[LINES_ASSIGNMENTS] = { "assignment", "assignments.jsonl" },
	[LINES_ALERTS] = { "alert", "alerts.jsonl" },
	[LINES_JOBS] = { "job", "jobs.jsonl" },
	[LINES_NODES] = { "node", "nodes.jsonl" },
};

static void put_readings(FILE *f, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at + OM_READING_SIZE <= len; at += OM_READING_SIZE) {
		struct om_reading r;
		json_t *o = om_reading_decode(data + at, OM_READING_SIZE, &r) ? NULL : om_reading_to_json(&r);
		char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

		if (text)
			fprintf(f, "%s\n", text);
		free(text);
		json_decref(o);
	}
}

static int put_attached(const json_t *act, uint64_t entry, uint8_t *data, size_t len,
			struct om_tar_files *files)
{
	char name[OM_TAR_NAME_MAX + 64];

	/* Numbered by the entry, so that two of one name are two. */
	snprintf(name, sizeof(name), "files/%llu-%.12s-%.60s", (unsigned long long)entry,
		 json_text(act, "what"), json_text(act, "name"));
	for (char *p = name; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/", *p) &&
		    (*p != '.' || p[1] == '.' || p[1] == 0 || p[-1] == '/'))
			*p = '_';
	return om_tar_add(files, name, data, len);
}

static int put_evidence(const struct bundle_entry *e, struct lines lines[LINES_END],
			struct om_tar_files *files)
{
	const char *what = json_text(e->act, "what");
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r = om_evidence_data(e->act, &data, &len);

	if (r)
		return r;
	for (int i = 0; i < LINES_END; i++) {
		if (strcmp(what, line_files[i].what))
			continue;
		if (i == LINES_READINGS)
			put_readings(lines[i].f, data, len);
		else
			fprintf(lines[i].f, "%.*s\n", (int)len, (const char *)data);
		return 0;
	}
	return put_attached(e->act, e->index, TAKE_PTR(data), len, files);
}

static int put_record(const struct om_case *c, int version, struct om_tar_files *files)
{
	json_t *record = version == 1 ? case_record_1(c) : om_case_record(c, NULL);
	char *text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;

	json_decref(record);
	return text ? om_tar_add(files, "case.json", text, strlen(text)) : -ENOMEM;
}

int bundle_derive(const char *case_id, int record, const struct bundle_entry *e, size_t n,
		  struct om_tar_files *files, struct om_case **ret_case)
{
	_cleanup_(om_case_freep) struct om_case *c = om_case_new(case_id);
	struct lines lines[LINES_END] = { 0 };
	char *text = strdup(instructions);
	int r = text ? om_tar_add(files, "README.txt", text, strlen(text)) : -ENOMEM;

	for (int i = 0; i < LINES_END; i++)
		lines[i].f = open_memstream(&lines[i].text, &lines[i].len);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = c ? om_case_apply(c, e[i].index, e[i].act) : -ENOMEM;
		if (r == 0 && case_kind_of(e[i].act) == CASE_EVIDENCE)
			r = put_evidence(&e[i], lines, files);
	}
	r = r ?: put_record(c, record, files);
	for (int i = 0; i < LINES_END; i++) {
		fclose(lines[i].f);
		/* A kind that was never gathered has no file. */
		if (r == 0 && lines[i].len)
			r = om_tar_add(files, line_files[i].file, lines[i].text, lines[i].len);
		else
			free(lines[i].text);
	}
	if (r == 0 && ret_case)
		*ret_case = TAKE_PTR(c);
	return r;
}

char *bundle_manifest(const struct bundle_facts *facts, const struct om_tar_files *files)
{
	char key[OM_NOTE_KEY_TEXT_MAX], hex[65], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "opmeter-bundle v1\norigin %s\ncase %s\nmade %s\nby %s\n", facts->origin, facts->case_id,
		facts->made, facts->by);
	for (size_t i = 0; i < facts->signers; i++)
		fprintf(f, "signer %s\n", om_note_key_format(&facts->signer[i], false, key));
	for (size_t i = 0; i < files->count; i++) {
		unsigned char hash[crypto_hash_sha256_BYTES];

		if (!strcmp(files->file[i].name, BUNDLE_MANIFEST))
			continue;
		crypto_hash_sha256(hash, files->file[i].data, files->file[i].len);
		fprintf(f, "file %s %zu %s\n", om_hex(hash, sizeof(hash), hex), files->file[i].len,
			files->file[i].name);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
