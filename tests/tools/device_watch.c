// SPDX-License-Identifier: Apache-2.0
/* Runs the device meter on the library given and prints what it hands out, a JSON object a line. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/agent/device.h"

static int print(void *ctx, const struct device_sample *s)
{
	char low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], peak[OPCOUNT_STRLEN];

	printf("{\"device\":\"%s\",\"index\":%u,\"instance\":%d,\"ns\":%llu,\"low\":%s,\"high\":%s,\"peak\":%s,\"busy\":%llu,"
	       "\"gap\":%d,\"wide\":%d,\"known\":%d,\"all_pids\":%d,\"pids\":[",
	       s->uuid, s->index, (int)s->instance, (unsigned long long)(s->to_ns - s->from_ns),
	       opcount_format(s->low, low), opcount_format(s->high, high), opcount_format(s->peak, peak),
	       (unsigned long long)s->busy_ns, s->is_gap, s->is_wide, s->is_chip_known, s->has_all_pids);
	for (size_t i = 0; i < s->pid_count; i++)
		printf("%s%u", i ? "," : "", s->pid[i]);
	printf("]}\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct device_config c = { .interval_ns = 200000000, .silence_ns = 1500000000 };
	struct om_peaks *peaks = NULL;
	struct device_meter *d = NULL;
	struct error_text err = { 0 };
	struct device_totals t;
	time_t end;

	if (argc != 5) {
		fprintf(stderr, "usage: device_watch LIBRARY OPMETER SECONDS FORMATS\n");
		return 2;
	}
	c.nvml_path = argv[1];
	c.program = argv[2];
	if (om_peaks_load("data/peaks.csv", &peaks, &err) || (c.peaks = peaks, device_open(&c, &d, &err))) {
		fprintf(stderr, "device_watch: %s\n", err.text);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (end = time(NULL) + atoi(argv[3]); time(NULL) < end;) {
		poll(&(struct pollfd){ .fd = device_fd(d), .events = POLLIN }, 1, 100);
		device_step(d, (uint32_t)strtoul(argv[4], NULL, 0), print, NULL);
	}
	device_get_totals(d, &t);
	printf("{\"totals\":1,\"devices\":%u,\"samples\":%llu,\"gaps\":%llu,\"restarts\":%llu,\"lost\":%llu,\"failed\":%llu,"
	       "\"damaged\":%llu,\"running\":%d,\"peak\":%llu,\"why\":\"%s\"}\n",
	       t.devices, (unsigned long long)t.samples, (unsigned long long)t.gaps, (unsigned long long)t.restarts,
	       (unsigned long long)t.lost, (unsigned long long)t.failed, (unsigned long long)t.damaged, t.is_running,
	       (unsigned long long)t.peak_ops_per_s, t.why);
	device_free(d);
	om_peaks_free(peaks);
	return 0;
}
