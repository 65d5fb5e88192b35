// SPDX-License-Identifier: Apache-2.0
/* Who holds a device: the kubelet's checkpoint, the operator's map, Slurm's text; and what is wrong with them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/agent/holders.h"

static struct holder_list list;
static char path[] = "/tmp/opmeter-test-holders-XXXXXX";

static void write_file(const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool has(enum holder_source source, const char *device, const char *key)
{
	for (size_t i = 0; i < list.count; i++)
		if (list.item[i].source == source && !strcmp(list.item[i].device, device) &&
		    !strcmp(list.item[i].key, key))
			return true;
	return false;
}

#define POD "0a1b2c3d-1111-2222-3333-444455556666"
static const char checkpoint[] =
	"{\"Data\":{\"PodDeviceEntries\":["
	"{\"PodUID\":\"" POD "\",\"ContainerName\":\"train\",\"ResourceName\":\"nvidia.com/gpu\","
	"\"DeviceIDs\":{\"-1\":[\"GPU-aa\"],\"1\":[\"GPU-bb::3\"]},\"AllocResp\":\"CgA=\"},"
	"{\"PodUID\":\"" POD "\",\"ContainerName\":\"x\",\"ResourceName\":\"nvidia.com/mig-1g.10gb\",\"DeviceIDs\":[\"MIG-cc\"]},"
	"{\"PodUID\":\"other\",\"ContainerName\":\"x\",\"ResourceName\":\"example.com/fpga\",\"DeviceIDs\":{\"0\":[\"GPU-dd\"]}}],"
	"\"RegisteredDevices\":{\"nvidia.com/gpu\":[\"GPU-aa\",\"GPU-bb\"]}},\"Checksum\":1}";

static void test_checkpoint(void **state)
{
	struct error_text err = { 0 };

	write_file(checkpoint);
	assert_int_equal(holders_read_checkpoint(path, &list, &err), 0);
	assert_int_equal(list.count, 3);
	assert_true(has(HOLDER_KUBELET, "GPU-aa", POD) && has(HOLDER_KUBELET, "GPU-bb", POD) &&
		    has(HOLDER_KUBELET, "MIG-cc", POD));
	/* Every cut of it is refused with a word, and changes nothing. */
	for (size_t n = 0; n + 1 < sizeof(checkpoint) - 1; n++) {
		char cut[sizeof(checkpoint)];

		memcpy(cut, checkpoint, n);
		cut[n] = '\0';
		write_file(cut);
		err.text[0] = '\0';
		if (holders_read_checkpoint(path, &list, &err) == 0) {
			/* The file's end is no part of the answer: only what follows the entries may be missing. */
			assert_true(n > (size_t)(strstr(checkpoint, "\"RegisteredDevices") - checkpoint) - 2);
			continue;
		}
		assert_true(err.text[0] != '\0');
		assert_int_equal(list.count, 3);
	}
	write_file("{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":null},\"Checksum\":1}");
	assert_int_equal(holders_read_checkpoint(path, &list, &err), 0);
	assert_int_equal(list.count, 0);
	write_file("[1]");
	assert_int_equal(holders_read_checkpoint(path, &list, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "PodDeviceEntries"));
}

static void test_map(void **state)
{
	struct error_text err = { 0 };

	write_file("holders:\n  - {device: GPU-aa, cgroup: /system.slice/a.service}\n  - {device: '3', cgroup: /b}\n");
	assert_int_equal(holders_read_map(path, &list, &err), 0);
	assert_true(list.count == 2 && has(HOLDER_MAP, "GPU-aa", "/system.slice/a.service") && has(HOLDER_MAP, "3", "/b"));
	write_file("holders:\n  - {device: GPU-aa, cgroup: relative}\n");
	assert_int_equal(holders_read_map(path, &list, &err), -EINVAL);
	assert_non_null(strstr(err.text, ":2:"));
	write_file("holders:\n  - {device: GPU-aa, cgruop: /a}\n");
	assert_int_equal(holders_read_map(path, &list, &err), -EINVAL);
	assert_int_equal(list.count, 2);
	list.count = 0;
}

static void test_host_lists(void **state)
{
	static const struct {
		const char *list, *node;
		bool is_in;
	} cases[] = { { "localhost", "localhost", true },	{ "gpu[1-2]", "gpu2", true },
		      { "gpu[1-2]", "gpu3", false },		{ "gpu[01-04,07]", "gpu07", true },
		      { "gpu[01-04,07]", "gpu7", false },	{ "a,gpu[1-2],b", "b", true },
		      { "gpu[1-2]-ib", "gpu1-ib", true },	{ "gpu[1-2]", "gpu1-ib", false },
		      { "gpu[8-12]", "gpu10", true },		{ "gpu", "gpu1", false },
		      { "gpu[", "gpu", false },			{ "", "gpu", false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(holders_slurm_has_node(cases[i].list, strlen(cases[i].list), cases[i].node), cases[i].is_in);
}

/* As Slurm 22.05 prints it, shortened. */
#define JOB(name, nodes) "JobId=7 JobName=" name " JobState=RUNNING NodeList=gpu[1-2] JOB_GRES=gpu:6   " nodes " MinCPUsNode=1 Command=(null)\n"

static void test_slurm_text(void **state)
{
	const char *two = JOB("wrap", "Nodes=gpu1 CPU_IDs=0-1 Mem=0 GRES=gpu:h100:3(IDX:0-1,5)   Nodes=gpu2 CPU_IDs=0 Mem=0 GRES=gpu:1(IDX:3),shard:2(IDX:7)");

	assert_int_equal(holders_slurm_indices(two, "gpu1"), 1 | 2 | 32);
	assert_int_equal(holders_slurm_indices(two, "gpu2"), 8);
	assert_int_equal(holders_slurm_indices(two, "gpu3"), 0);
	assert_int_equal(holders_slurm_indices(JOB("wrap", "Nodes=gpu1 CPU_IDs=0 Mem=0 GRES="), "gpu1"), 0);
	/* A job's own words can only add to what it holds. */
	assert_true(holders_slurm_indices(JOB("x Nodes=gpu1 GRES=gpu:1(IDX:9) ", "Nodes=gpu1 CPU_IDs=0 Mem=0 GRES=gpu:1(IDX:2)"), "gpu1") & 4);
	/* Absurd numbers end. */
	assert_int_equal(holders_slurm_indices(" Nodes=a GRES=gpu(IDX:63-18446744073709551615)", "a"), 1ULL << 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_host_lists),
		cmocka_unit_test(test_slurm_text),
	};
	int fd = mkstemp(path), r;

	list.item = calloc(HOLDERS_MAX, sizeof(*list.item));
	r = fd < 0 || !list.item ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
	close(fd);
	unlink(path);
	free(list.item);
	return r;
}
