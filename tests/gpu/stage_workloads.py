# SPDX-License-Identifier: Apache-2.0
"""Every workload with every meter on, one agent for all of them: what each meter says beside FlopCounterMode and PyTorch's profiler.
The ledger is read again at the end, when calibrations that came later have been applied."""
import time

import host
import measure
import meter

ONE_S = 45  # less time than this is left: no further workload is begun


def run(ctx, data):
    names = measure.names(ctx, [n for n in measure.all_workloads(ctx) if n != "gemm"])
    cgroups = meter.Cgroups(ctx.tag)
    env = {} if ctx.args.no_collector else measure.collector_env(ctx)
    data.update(cgroups=cgroups.is_there, collector=env, workloads={}, failures=[])
    try:
        with measure.make_meter(ctx, "all", names) as m:
            data["start_s"] = m.start_s
            for name in names:
                data["workloads"][name] = attempt(ctx, m, cgroups, name, env, data["failures"])
                ctx.save(data)
            measure.again(ctx, m, cgroups, data)
            data["log"] = m.said().splitlines()[-60:]
            ctx.save(data)
            data["stop_s"] = m.stop()
    finally:
        cgroups.close()


def attempt(ctx, m, cgroups, name, env, failures):
    """With the collector; if that fails, without it, and both are said."""
    if ctx.is_late(ONE_S):
        failures.append(f"{name}: not begun, the stage's time was up")
        return {"error": "not begun: the stage's time was up"}
    start, failed = time.monotonic(), None
    for injected in ([env, {}] if env else [{}]):
        try:
            row = measure.one(ctx, m, cgroups, name, env=injected)
            row.update(compared=measure.compare(row), injected=bool(injected), took_s=round(time.monotonic() - start, 1))
            if failed:
                row["failed_with_collector"] = failed
            return row
        except host.Failure as e:
            failed = str(e)
            if ctx.is_late(ONE_S):
                break
    failures.append(failed)
    return {"error": failed}
