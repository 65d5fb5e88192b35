// SPDX-License-Identifier: Apache-2.0
/* The path forms of the kubelet, Slurm, Docker, Podman and systemd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/cgroup_path.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UID "6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e5f"
#define UID_ "6f0c2f3e_7a55_4c8e_9d0e_0a1b2c3d4e5f"

static const struct {
	const char *path;
	enum cgroup_kind kind;
	const char *pod, *container, *job, *step, *unit, *user;
} cases[] = {
	/* kubelet, systemd driver */
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope", CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope",
	  CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/crio-" ID ".scope",
	  CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/docker-" ID ".scope", CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice", CGROUP_KUBERNETES, UID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope/init.scope", CGROUP_KUBERNETES, UID, ID },
	/* below another slice */
	{ "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope",
	  CGROUP_KUBERNETES, UID, ID },
	/* kubelet, cgroupfs driver */
	{ "/kubepods/pod" UID "/" ID, CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods/burstable/pod" UID "/" ID, CGROUP_KUBERNETES, UID, ID },
	{ "/kubepods/besteffort/pod" UID "/" ID "/nested/deeper", CGROUP_KUBERNETES, UID, ID },
	/* a static pod: its uid is a hash without dashes */
	{ "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" ID, CGROUP_KUBERNETES,
	  "0123456789abcdef0123456789abcdef", ID },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice/"
	  "cri-containerd-" ID ".scope",
	  CGROUP_KUBERNETES, "0123456789abcdef0123456789abcdef", ID },
	/* Slurm, cgroup v2 plugin */
	{ "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0", CGROUP_SLURM, "", "", "4711", "0" },
	{ "/system.slice/slurmstepd.scope/job_4711/step_batch/user/task_0", CGROUP_SLURM, "", "", "4711", "batch" },
	{ "/system.slice/slurmstepd.scope/job_12/step_extern/user/task_special", CGROUP_SLURM, "", "", "12", "extern" },
	{ "/system.slice/node1_slurmstepd.scope/x", CGROUP_SYSTEMD, "", "", "", "", "node1_slurmstepd.scope" },
	/* Slurm, cgroup v1 plugin */
	{ "/slurm/uid_1000/job_99/step_3/task_1", CGROUP_SLURM, "", "", "99", "3" },
	{ "/slurm/uid_1000/job_99", CGROUP_SLURM, "", "", "99" },
	{ "/slurm_node07/uid_1000/job_5/step_0", CGROUP_SLURM, "", "", "5", "0" },
	/* a container that a Slurm step started keeps the job */
	{ "/system.slice/slurmstepd.scope/job_4711/step_0/user/docker-" ID ".scope", CGROUP_SLURM, "", "", "4711", "0" },
	/* Docker and Podman */
	{ "/system.slice/docker-" ID ".scope", CGROUP_DOCKER, "", ID },
	{ "/docker/" ID, CGROUP_DOCKER, "", ID },
	{ "/docker/" ID "/payload", CGROUP_DOCKER, "", ID },
	{ "/machine.slice/libpod-" ID ".scope", CGROUP_DOCKER, "", ID },
	{ "/machine.slice/libpod-" ID ".scope/container", CGROUP_DOCKER, "", ID },
	{ "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", CGROUP_DOCKER, "", ID, "", "",
	  "user@1000.service", "1000" },
	{ "/default/" ID, CGROUP_DOCKER, "", ID },
	/* systemd */
	{ "/system.slice/train.service", CGROUP_SYSTEMD, "", "", "", "", "train.service" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", CGROUP_SYSTEMD, "", "", "", "", "getty@tty1.service" },
	{ "/user.slice/user-1000.slice/session-3.scope", CGROUP_SYSTEMD, "", "", "", "", "session-3.scope", "1000" },
	{ "/user.slice/user-0.slice/user@0.service/app.slice/x.scope", CGROUP_SYSTEMD, "", "", "", "", "user@0.service",
	  "0" },
	{ "/init.scope", CGROUP_SYSTEMD, "", "", "", "", "init.scope" },
	{ "/train.service/inner.service", CGROUP_SYSTEMD, "", "", "", "", "train.service" },
	/* what looks alike and is not */
	{ "/", CGROUP_OTHER },
	{ "", CGROUP_OTHER },
	{ "//", CGROUP_OTHER },
	{ "/job_4711/step_0", CGROUP_OTHER },
	{ "/mine/pod" UID, CGROUP_OTHER },
	{ "/docker/0123", CGROUP_OTHER },
	{ "/kubepods/pod6f0c2f3e+7a55-4c8e-9d0e-0a1b2c3d4e5f", CGROUP_OTHER },
	{ "/slurm/uid_0/job_12x", CGROUP_OTHER },
	{ "/system.slice", CGROUP_OTHER },
};

static const char *text(const char *s)
{
	return s ? s : "";
}

static void every_form(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cgroup_path p;

		cgroup_path_parse(cases[i].path, &p);
		if (p.kind != cases[i].kind || strcmp(p.pod, text(cases[i].pod)) ||
		    strcmp(p.container, text(cases[i].container)) || strcmp(p.slurm_job, text(cases[i].job)) ||
		    strcmp(p.slurm_step, text(cases[i].step)) || strcmp(p.unit, text(cases[i].unit)) ||
		    strcmp(p.user, text(cases[i].user)))
			fail_msg("%s: %s pod=%s container=%s job=%s step=%s unit=%s user=%s", cases[i].path,
				 cgroup_kind_name(p.kind), p.pod, p.container, p.slurm_job, p.slurm_step, p.unit, p.user);
	}
}

/* A tenant may name cgroups below its own as it likes: its own name must stay. */
static void an_inner_name_does_not_win(void **state)
{
	struct cgroup_path p;

	cgroup_path_parse("/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID
			  ".scope/kubepods-pod11111111_1111_1111_1111_111111111111.slice",
			  &p);
	assert_string_equal(p.pod, UID);
	/* A pod or a Slurm job by name only, inside a container or a user's own unit. */
	cgroup_path_parse("/system.slice/docker-" ID ".scope/kubepods/pod" UID, &p);
	assert_int_equal(p.kind, CGROUP_DOCKER);
	assert_string_equal(p.pod, "");
	cgroup_path_parse("/user.slice/user-1000.slice/user@1000.service/kubepods/pod" UID "/x", &p);
	assert_int_equal(p.kind, CGROUP_SYSTEMD);
	cgroup_path_parse("/user.slice/user-1000.slice/user@1000.service/slurm/uid_1/job_8", &p);
	assert_int_equal(p.kind, CGROUP_SYSTEMD);
	cgroup_path_parse("/system.slice/slurmstepd.scope/job_7/step_0/user/slurm/job_8/step_9", &p);
	assert_string_equal(p.slurm_job, "7");
	assert_string_equal(p.slurm_step, "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(an_inner_name_does_not_win),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
