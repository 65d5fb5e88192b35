// SPDX-License-Identifier: Apache-2.0
/*
 * Starting, watching and reading the sampler. Time is never silently empty: what
 * lies between two samples of a device, because the sampler hung or was away, is a
 * gap bounded by the device's peak, charged to those who were on it last.
 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "device_record.h"
#include "nvml.h"

#define UNITS_MAX 512
#define BACKOFF_MAX_NS 60000000000ULL
#define STUCK_MAX 3 /* samplers that even SIGKILL does not end: the driver holds them */

struct unit {
	struct device_record last;
	bool is_lost;
};

struct device_meter {
	struct device_config config;
	pid_t pid; /* 0: none */
	int fd;
	uint64_t started_ns, heard_ns, retry_ns, backoff_ns;
	bool is_paused;
	pid_t stuck[STUCK_MAX];
	size_t stuck_count;
	struct unit unit[UNITS_MAX];
	size_t count;
	struct device_totals totals;
};

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* In the child: nothing of the parent but the pipe. */
static void exec_sampler(const struct device_meter *d, int fd, pid_t parent)
{
	char interval[24];
	/* Started through a loader of its own, this program is not /proc/self/exe. */
	const char *program = d->config.program ?: getenv("OPMETER_SELF") ?: "/proc/self/exe";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(fd, STDOUT_FILENO) < 0)
		_exit(1);
	close_range(3, ~0u, 0); /* the ledger's lock among them, which must end with the agent */
	snprintf(interval, sizeof(interval), "%llu", (unsigned long long)d->config.interval_ns);
	execl(program, "opmeter", DEVICE_SAMPLER_VERB, d->config.nvml_path, interval, (char *)NULL);
	_exit(127);
}

static int sampler_start(struct device_meter *d)
{
	_cleanup_close_ int to_read = -1;
	_cleanup_close_ int to_write = -1;
	pid_t parent = getpid(), pid;
	int fds[2];
	sigset_t none;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	to_read = fds[0];
	to_write = fds[1];
	if (fcntl(to_read, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		exec_sampler(d, to_write, parent);
	}
	d->pid = pid;
	d->fd = TAKE_FD(to_read);
	d->started_ns = d->heard_ns = boot_ns();
	d->totals.is_running = true;
	return 0;
}

static void reap_stuck(struct device_meter *d)
{
	for (size_t i = 0; i < d->stuck_count; i++)
		if (waitpid(d->stuck[i], NULL, WNOHANG) != 0)
			d->stuck[i--] = d->stuck[--d->stuck_count];
}

/* Gone or to go: another one is started after a while, which doubles each time. */
static void sampler_end(struct device_meter *d, const char *why)
{
	uint64_t now = boot_ns();

	if (d->pid) {
		kill(d->pid, SIGKILL);
		if (waitpid(d->pid, NULL, WNOHANG) == 0 && d->stuck_count < STUCK_MAX) {
			d->stuck[d->stuck_count++] = d->pid;
			d->totals.stuck++;
		}
		d->totals.restarts++;
	}
	d->pid = 0;
	closep(&d->fd);
	d->fd = -1;
	d->totals.is_running = false;
	d->totals.has_spoken = true;
	if (why)
		snprintf(d->totals.why, sizeof(d->totals.why), "%s", why);
	/* One that ran for long may be started at once. */
	if (now - d->started_ns > BACKOFF_MAX_NS)
		d->backoff_ns = 0;
	d->backoff_ns = d->backoff_ns ? d->backoff_ns * 2 : d->config.interval_ns;
	if (d->backoff_ns > BACKOFF_MAX_NS)
		d->backoff_ns = BACKOFF_MAX_NS;
	d->retry_ns = now + d->backoff_ns;
}

int device_open(const struct device_config *config, struct device_meter **ret, struct error_text *err)
{
	struct device_meter *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->config = *config;
	d->config.nvml_path = config->nvml_path ?: NVML_PATH;
	d->config.interval_ns = config->interval_ns ?: 1000000000ULL;
	d->config.silence_ns = config->silence_ns ?: 10000000000ULL;
	d->fd = -1;
	rc = sampler_start(d);
	if (rc) {
		free(d);
		return error_set(err, rc, "the device sampler cannot be started: %s", strerror(-rc));
	}
	*ret = d;
	return 0;
}

struct device_meter *device_free(struct device_meter *d)
{
	if (!d)
		return NULL;
	if (d->pid) {
		kill(d->pid, SIGKILL);
		for (int i = 0; i < 100 && waitpid(d->pid, NULL, WNOHANG) == 0; i++)
			nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	reap_stuck(d);
	closep(&d->fd);
	free(d);
	return NULL;
}

int device_fd(const struct device_meter *d)
{
	return d->fd;
}

/* --- samples --- */

static const struct om_chip *chip_of(const struct device_meter *d, const struct device_record *r,
				     bool *ret_is_known)
{
	const struct om_chip *c = om_peaks_find(d->config.peaks, r->name);

	*ret_is_known = c;
	return c ?: om_peaks_highest(d->config.peaks);
}

static opcount peak_over(const struct om_chip *c, uint64_t ns)
{
	opcount r;

	return opcount_muldiv(om_chip_peak(c), ns, 1000000000ULL, &r) ? OPCOUNT_MAX : r;
}

static void sample_make(const struct device_meter *d, const struct device_record *r, uint32_t formats,
			struct device_sample *ret)
{
	struct om_activity_span span = { .busy = r->busy,
					 .step = r->step,
					 .clock_low = r->clock_low,
					 .clock_high = r->clock_high,
					 .ns = r->to_ns - r->from_ns };
	bool is_known;
	struct om_chip chip = *chip_of(d, r, &is_known);

	if (r->multiprocessors && r->multiprocessors < chip.multiprocessors)
		chip.multiprocessors = r->multiprocessors;
	memcpy(span.percent, r->percent, sizeof(span.percent));
	/* No clock was seen: any that the chip has. */
	if (!span.clock_high)
		span.clock_high = chip.max_mhz;
	*ret = (struct device_sample){
		.index = r->index,
		.instance = r->instance,
		.uuid = r->uuid,
		.name = r->name,
		.from_ns = r->from_ns,
		.to_ns = r->to_ns,
		.peak = peak_over(&chip, span.ns),
		.busy_ns = (uint64_t)((double)span.ns * (r->busy < 100 ? r->busy : 100) / 100),
		.is_wide = !(r->flags & DEVICE_HAS_GPM),
		.is_chip_known = is_known,
		.has_all_pids = !(r->flags & (DEVICE_PIDS_CUT | DEVICE_NO_PIDS)),
		.pid = r->pid,
		.pid_count = r->pid_count,
	};
	for (size_t i = 0; i < DEVICE_SLICES_MAX && r->slice[i][0]; i++)
		ret->slice[i] = r->slice[i];
	om_chip_executed(&chip, &span, formats, &ret->low, &ret->high);
	if (ret->high > ret->peak)
		ret->high = ret->peak;
	if (ret->low > ret->high)
		ret->low = ret->high;
}

static struct unit *unit_of(struct device_meter *d, const struct device_record *r)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->unit[i].last.index == r->index && d->unit[i].last.instance == r->instance &&
		    !strcmp(d->unit[i].last.uuid, r->uuid))
			return &d->unit[i];
	if (d->count == UNITS_MAX)
		return NULL;
	d->unit[d->count].last = (struct device_record){ 0 };
	return &d->unit[d->count++];
}

/* From the end of the last sample to `until_ns`. */
static int hand_gap(struct device_meter *d, struct unit *u, uint64_t until_ns,
		    int (*fn)(void *ctx, const struct device_sample *s), void *ctx)
{
	struct device_record r = u->last;
	struct device_sample s;

	if (!u->last.to_ns || until_ns <= u->last.to_ns + d->config.interval_ns / 10)
		return 0;
	r.from_ns = u->last.to_ns;
	r.to_ns = until_ns;
	sample_make(d, &r, 0, &s);
	s.is_gap = true;
	s.low = 0;
	s.high = s.peak;
	s.busy_ns = 0;
	d->totals.gaps++;
	return fn(ctx, &s);
}

static bool is_sound(const struct device_record *r)
{
	if (r->magic != DEVICE_RECORD_MAGIC || r->size != sizeof(*r) || r->pid_count > DEVICE_PIDS_MAX)
		return false;
	if (!memchr(r->uuid, '\0', sizeof(r->uuid)) || !memchr(r->name, '\0', sizeof(r->name)) ||
	    !memchr(r->text, '\0', sizeof(r->text)))
		return false;
	for (size_t i = 0; i < DEVICE_SLICES_MAX; i++)
		if (!memchr(r->slice[i], '\0', sizeof(r->slice[i])))
			return false;
	return r->kind != DEVICE_RECORD_SAMPLE || (r->from_ns && r->from_ns < r->to_ns && r->busy >= 0);
}

static int take(struct device_meter *d, const struct device_record *r, uint32_t formats,
		int (*fn)(void *ctx, const struct device_sample *s), void *ctx)
{
	struct device_sample s;
	struct unit *u;
	int rc;

	switch (r->kind) {
	case DEVICE_RECORD_READY:
		d->totals.has_spoken = true;
		d->totals.devices = r->devices;
		d->totals.peak_ops_per_s = 0;
		d->totals.why[0] = '\0';
		return 0;
	case DEVICE_RECORD_END:
		snprintf(d->totals.why, sizeof(d->totals.why), "%s", r->text);
		return 0;
	case DEVICE_RECORD_FAILED:
		d->totals.failed++;
		return 0;
	default:
		break;
	}
	u = unit_of(d, r);
	if (!u)
		return 0;
	rc = hand_gap(d, u, r->kind == DEVICE_RECORD_LOST ? boot_ns() : r->from_ns, fn, ctx);
	if (rc || r->kind == DEVICE_RECORD_LOST) {
		d->totals.lost += !u->is_lost;
		u->is_lost = true;
		u->last.to_ns = 0;
		return rc;
	}
	u->is_lost = false;
	u->last = *r;
	d->totals.samples++;
	sample_make(d, r, formats, &s);
	return fn(ctx, &s);
}

/* Whoever reads it takes it for all that the node can do: a device in instances is there once and whole, and
 * one that was not sampled yet may be any. */
static void sum_peaks(struct device_meter *d)
{
	uint64_t sum = 0;
	bool is_known;

	for (size_t i = 0; i < d->count; i++) {
		bool is_first = true;

		for (size_t k = 0; k < i; k++)
			is_first &= d->unit[k].last.index != d->unit[i].last.index;
		if (is_first)
			sum += om_chip_peak(chip_of(d, &d->unit[i].last, &is_known));
	}
	if (d->totals.devices > d->count)
		sum += (d->totals.devices - d->count) * om_chip_peak(om_peaks_highest(d->config.peaks));
	d->totals.peak_ops_per_s = sum;
}

static int read_records(struct device_meter *d, uint32_t formats,
			int (*fn)(void *ctx, const struct device_sample *s), void *ctx)
{
	struct device_record r;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(d->fd, &r, sizeof(r))) > 0) {
		d->heard_ns = boot_ns();
		if (n != (ssize_t)sizeof(r) || !is_sound(&r)) {
			d->totals.damaged++;
			continue;
		}
		rc = take(d, &r, formats, fn, ctx);
	}
	if (rc == 0 && n == 0)
		sampler_end(d, d->totals.why[0] ? NULL : "the sampler has ended");
	return rc;
}

int device_step(struct device_meter *d, uint32_t formats, int (*fn)(void *ctx, const struct device_sample *s),
		void *ctx)
{
	uint64_t now = boot_ns();
	int rc = 0;

	reap_stuck(d);
	if (d->fd >= 0)
		rc = read_records(d, formats, fn, ctx);
	if (rc == 0 && d->pid && now > d->heard_ns + d->config.silence_ns)
		sampler_end(d, "NVML hangs: the sampler was killed");
	if (rc == 0 && !d->is_paused && !d->pid && now >= d->retry_ns && d->stuck_count < STUCK_MAX)
		sampler_start(d);
	sum_peaks(d);
	return rc;
}

void device_set_paused(struct device_meter *d, bool is_paused)
{
	if (d->is_paused == is_paused)
		return;
	d->is_paused = is_paused;
	if (is_paused)
		sampler_end(d, "switched off");
	else
		d->retry_ns = 0;
}

void device_get_totals(const struct device_meter *d, struct device_totals *ret)
{
	*ret = d->totals;
}
