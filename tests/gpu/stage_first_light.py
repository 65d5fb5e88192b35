# SPDX-License-Identifier: Apache-2.0
"""First light: do the probes load on this kernel, is PyTorch's cuBLASLt proved, and does the shape meter say what FlopCounterMode
says, each product once although the libraries call themselves? On which thread is what computed? No device, no collector."""
import host
import measure
import meter

DEFAULT = ["gpt-bf16", "gpt-checkpoint"]


def run(ctx, data):
    (ctx.state / "tables").mkdir()
    data["proofs"] = host.prove(ctx.facts, ctx.state / "tables")
    ctx.save(data)
    names = measure.names(ctx, DEFAULT)
    cgroups = meter.Cgroups(ctx.tag)
    data["cgroups"] = cgroups.is_there
    try:
        with measure.make_meter(ctx, "first", names, has_devices=False) as m:
            data["start_s"], data["pins"] = m.start_s, m.pin_count()
            data["workloads"], data["failures"] = {}, []
            for name in names:
                try:
                    row = measure.one(ctx, m, cgroups, name, profiled=False)
                    data["workloads"][name] = {**row, "compared": measure.compare(row)}
                except host.Failure as e:
                    data["workloads"][name] = {"error": str(e)}
                    data["failures"].append(str(e))
                ctx.save(data)
            measure.again(ctx, m, cgroups, data)
            data["stop_s"] = m.stop()
            data["log"] = m.said().splitlines()[-30:]
    finally:
        cgroups.close()
