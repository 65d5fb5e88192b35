/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_AGENT_REPLAY_H
#define OPMETER_AGENT_AGENT_REPLAY_H

#include "../core/run.h"
#include "agent.h"

/*
 * A recorded run instead of the kernel: its operations go into the ledger as the
 * job of `cgroup_path`, `repeat` times over, and through attribution and policy
 * as live ones do. Of the configuration, dir, tenants, regimes, owners and json
 * are used. Returns an enum exit_code; the reason of a failure has been logged.
 */
int agent_replay(const struct agent_config *config, const struct run *run, const char *cgroup_path,
		 uint64_t repeat);

#endif
