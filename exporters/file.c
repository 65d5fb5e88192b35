// SPDX-License-Identifier: Apache-2.0
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../userspace/base/cleanup.h"
#include "../userspace/core/reading_json.h"

#define WINDOW 1024

struct file_exporter {
	struct om_exporter base; /* first */
	int fd;
	off_t end; /* of what is known to be whole */
	char *pending;
	size_t pending_len, pending_room;
	uint64_t cookies[WINDOW];
	size_t count;
};

static json_t *event_json(const struct om_event *ev)
{
	struct om_reading r;

	if (ev->topic == OM_TOPIC_READINGS)
		return om_reading_decode(ev->value, ev->value_len, &r) ? NULL : om_reading_to_json(&r);
	return json_loadb(ev->value, ev->value_len, 0, NULL);
}

/* Readings have a binary key: in text, hex. */
static json_t *key_json(const struct om_event *ev)
{
	char hex[2 * OM_REGISTER_KEY_SIZE + 1] = "";

	if (ev->topic != OM_TOPIC_READINGS)
		return json_stringn(ev->key ? ev->key : "", ev->key_len);
	for (size_t i = 0; i < ev->key_len && i < OM_REGISTER_KEY_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)ev->key)[i]);
	return json_string(hex);
}

static int file_send(struct om_exporter *e, const struct om_event *ev)
{
	struct file_exporter *f = (struct file_exporter *)e;
	_cleanup_(json_decrefp) json_t *line = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (f->count == WINDOW)
		return 1;
	line = json_pack("{s:s,s:o,s:o}", "topic", om_topic_name(ev->topic), "key", key_json(ev), "event",
			 event_json(ev));
	text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (!text)
		return -EBADMSG;
	len = strlen(text);
	if (f->pending_len + len + 1 > f->pending_room) {
		size_t room = 2 * (f->pending_len + len + 1);
		char *more = realloc(f->pending, room);

		if (!more)
			return -ENOMEM;
		f->pending = more;
		f->pending_room = room;
	}
	memcpy(f->pending + f->pending_len, text, len);
	f->pending[f->pending_len + len] = '\n';
	f->pending_len += len + 1;
	f->cookies[f->count++] = ev->cookie;
	e->sent_total++;
	return 0;
}

/* All or nothing: half a line at the end would be read as damage. */
static int write_pending(struct file_exporter *f)
{
	for (size_t done = 0; done < f->pending_len;) {
		ssize_t n = pwrite(f->fd, f->pending + done, f->pending_len - done, f->end + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int saved = -errno;

			return ftruncate(f->fd, f->end) ? -errno : saved;
		}
		done += (size_t)n;
	}
	if (fdatasync(f->fd))
		return -errno;
	f->end += (off_t)f->pending_len;
	return 0;
}

static int file_poll(struct om_exporter *e, int timeout_ms)
{
	struct file_exporter *f = (struct file_exporter *)e;
	int r;

	if (f->count == 0)
		return 0;
	r = write_pending(f);
	for (size_t i = 0; i < f->count; i++) {
		if (r)
			e->failed_total++;
		else
			e->acked_total++;
		e->acked(e->acked_ctx, f->cookies[i], r);
	}
	f->count = 0;
	f->pending_len = 0;
	return r;
}

static int file_flush(struct om_exporter *e, int timeout_ms)
{
	return file_poll(e, timeout_ms) ? 1 : 0;
}

static void file_free(struct om_exporter *e)
{
	struct file_exporter *f = (struct file_exporter *)e;

	close(f->fd);
	free(f->pending);
	free(f);
}

int om_file_open(const char *path, struct om_exporter **ret, struct error_text *err)
{
	static const struct om_exporter_ops ops = {
		.name = "file", .send = file_send, .poll = file_poll, .flush = file_flush, .free = file_free
	};
	struct file_exporter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->base.ops = &ops;
	f->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (f->fd < 0) {
		free(f);
		return error_set(err, -errno, "%s: cannot be written: %m", path);
	}
	f->end = lseek(f->fd, 0, SEEK_END);
	*ret = &f->base;
	return 0;
}
