// SPDX-License-Identifier: Apache-2.0
/*
 * One ring a CPU, read by a single thread. The kernel writes data_head after the
 * record (perf_event.h, "perf_event_mmap_page"): it is read with acquire order,
 * and data_tail is written with release order after the records were used.
 *
 * The kernel reports lost records together with the next one that has room, which
 * may never come. So a ring that is found with no room for another record of full
 * size counts as one that has perhaps lost some.
 *
 * A record may wrap around the end of the ring; it is copied out, so that the
 * callback sees it whole and the kernel gets its room back at once.
 */
#include "mmap_watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 4096
#define RECORD_MAX (PATH_MAX + 128) /* of an MMAP2: the kernel writes no longer path */

struct ring {
	int fd;
	struct perf_event_mmap_page *page; /* NULL: CPU is not there */
};

struct mmap_watch {
	int epoll;
	size_t ring_bytes, page_size;
	uint64_t lost_total;
	size_t n_rings;
	struct ring *rings; /* by CPU */
	/* One record, whole; records are at most 64 KiB by the type of their size. */
	uint8_t record[UINT16_MAX + 1] __attribute__((aligned(8)));
};

struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint32_t maj, min;
	uint64_t ino, ino_generation;
	uint32_t prot, flags;
	char filename[];
};

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

static int open_ring(struct mmap_watch *w, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TIME,
		.mmap = 1,
		.mmap2 = 1,
		.sample_id_all = 1,
		.exclude_kernel = 1,
		.use_clockid = 1,
		.clockid = CLOCK_BOOTTIME,
		/* Every record wakes: a probe that comes late is a loss. */
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	struct epoll_event ev = { .events = EPOLLIN };
	_cleanup_close_ int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	void *page;

	if (fd < 0)
		return -errno;
	page = mmap(NULL, w->page_size + w->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		int r = -errno;

		munmap(page, w->page_size + w->ring_bytes);
		return r;
	}
	w->rings[cpu] = (struct ring){ TAKE_FD(fd), page };
	return 0;
}

/* Positive: how many were opened. A CPU that is off line is none. */
static int open_rings(struct mmap_watch *w)
{
	int opened = 0;

	for (size_t cpu = 0; cpu < w->n_rings; cpu++) {
		int r = w->rings[cpu].page ? 1 : open_ring(w, (int)cpu);

		if (r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		opened += r == 0;
	}
	return opened;
}

static int explain(int r, struct error_text *err)
{
	if (r == -EPERM || r == -EACCES)
		return error_set(err, r,
				 "not permitted to see mappings of other processes (perf_event_open): "
				 "run as root, or with CAP_PERFMON and CAP_SYS_PTRACE");
	if (r == -EMFILE)
		return error_set(err, r, "no descriptors left for perf events: raise RLIMIT_NOFILE");
	return error_set(err, r, "this kernel gives no perf events (perf_event_open: %s)", strerror(-r));
}

int mmap_watch_open(size_t ring_bytes, struct mmap_watch **ret, struct error_text *err)
{
	_cleanup_mmap_watch_ struct mmap_watch *w = calloc(1, sizeof(*w));
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int r;

	if (!w)
		return -ENOMEM;
	if (ring_bytes < 16384 || ring_bytes & (ring_bytes - 1))
		return -EINVAL;
	w->epoll = -1;
	w->page_size = (size_t)sysconf(_SC_PAGESIZE);
	w->ring_bytes = ring_bytes;
	w->n_rings = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : (size_t)cpus;
	w->rings = calloc(w->n_rings, sizeof(*w->rings));
	if (!w->rings)
		return -ENOMEM;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	r = open_rings(w);
	if (r < 0)
		return explain(r, err);
	*ret = TAKE_PTR(w);
	return 0;
}

struct mmap_watch *mmap_watch_free(struct mmap_watch *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; w->rings && i < w->n_rings; i++) {
		if (!w->rings[i].page)
			continue;
		munmap(w->rings[i].page, w->page_size + w->ring_bytes);
		close(w->rings[i].fd);
	}
	closep(&w->epoll);
	free(w->rings);
	free(w);
	return NULL;
}

int mmap_watch_fd(const struct mmap_watch *w)
{
	return w->epoll;
}

uint64_t mmap_watch_lost_total(const struct mmap_watch *w)
{
	return w->lost_total;
}

int mmap_watch_add_cpus(struct mmap_watch *w)
{
	int r = open_rings(w);

	return r < 0 ? r : r > 0;
}

static void copy_out(const struct mmap_watch *w, const struct ring *ring, uint64_t at, void *to, size_t len)
{
	const uint8_t *data = (const uint8_t *)ring->page + w->page_size;
	size_t from = at & (w->ring_bytes - 1);
	size_t first = len < w->ring_bytes - from ? len : w->ring_bytes - from;

	memcpy(to, data + from, first);
	memcpy((uint8_t *)to + first, data, len - first);
}

static void take_record(struct mmap_watch *w, void (*fn)(void *, const struct mmap_event *), void *ctx)
{
	const struct perf_event_header *h = (const void *)w->record;
	const struct mmap2_record *m = (const void *)w->record;
	struct mmap_event e;

	if (h->type == PERF_RECORD_LOST && h->size >= sizeof(struct lost_record)) {
		w->lost_total += ((const struct lost_record *)w->record)->lost;
		return;
	}
	if (h->type != PERF_RECORD_MMAP2 || h->size < sizeof(*m) + sizeof(uint64_t))
		return;
	e = (struct mmap_event){
		.tgid = (pid_t)m->pid,
		.start = m->addr,
		.end = m->addr + m->len,
		.dev_major = m->maj,
		.dev_minor = m->min,
		.ino = m->ino,
		.path = m->filename,
	};
	/* The time is the last word of the record: all of sample_id that was asked for. */
	memcpy(&e.time_ns, w->record + h->size - sizeof(e.time_ns), sizeof(e.time_ns));
	w->record[h->size - sizeof(e.time_ns)] = '\0';
	fn(ctx, &e);
}

/* True if something was lost before, or may have been. */
static bool read_ring(struct mmap_watch *w, struct ring *ring, void (*fn)(void *, const struct mmap_event *),
		      void *ctx)
{
	uint64_t tail = ring->page->data_tail;
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t lost_before = w->lost_total;
	bool was_full = head - tail > w->ring_bytes - RECORD_MAX;

	while (tail < head) {
		struct perf_event_header h;

		copy_out(w, ring, tail, &h, sizeof(h));
		if (h.size < sizeof(h))
			break; /* never written by the kernel */
		copy_out(w, ring, tail, w->record, h.size);
		tail += h.size;
		__atomic_store_n(&ring->page->data_tail, tail, __ATOMIC_RELEASE);
		take_record(w, fn, ctx);
	}
	return was_full || w->lost_total != lost_before;
}

int mmap_watch_read(struct mmap_watch *w, void (*fn)(void *ctx, const struct mmap_event *e), void *ctx)
{
	bool lost = false;

	for (size_t i = 0; i < w->n_rings; i++)
		if (w->rings[i].page)
			lost |= read_ring(w, &w->rings[i], fn, ctx);
	return lost;
}
