# SPDX-License-Identifier: Apache-2.0
"""What a job does with its models: steps of training, generation, evaluation, optimizers, and what ranks hand to each other."""
import torch

from layers import Linear

BUCKET = 25 << 20


def train(rec, model, steps, before=None, after=None, delayed=False):
    """`steps` is a list of steps, each a list of micro-batches."""
    for step in steps:
        if before:
            before(step)
        for batch in step:
            rec.micro += 1
            with rec.role("forward"):
                loss = model.loss(batch)
            rec.backward(loss)
            if delayed:
                rec.flush()
        if after:
            after(step)
        model.zero_grad()


def infer(rec, role, model, batches, thread=None, **kw):
    with torch.no_grad(), rec.role(role, thread):
        for batch in batches:
            rec.micro += 1
            model.logits(batch, **kw)


def generate(rec, role, model, sequences, prompt, tokens, thread=None):
    """Prefill, then one token at a time with the keys and values of those before."""
    with torch.no_grad(), rec.role(role, thread):
        rec.micro += 1
        model.logits((sequences, prompt), last=True)
        for i in range(tokens):
            rec.micro += 1
            model.logits((sequences, 1), past=prompt + i)


# Collectives, from what a model really holds.
def gradients(model):
    return [p.numel() * p.element_size() for p in reversed(list(model.parameters())) if p.requires_grad]


def ddp(rec, model, steps):
    """One allreduce a bucket; the first bucket is small, as DistributedDataParallel has it."""
    buckets, limit = [0], 1 << 20
    for g in gradients(model):
        if buckets[-1] and buckets[-1] + g > limit:
            buckets.append(0)
            limit = BUCKET
        buckets[-1] += g
    for b in buckets:
        if b:
            rec.collect("allreduce", b, steps)


def units(model):
    """What FSDP gathers at a time: a block, and the rest."""
    blocks = list(getattr(model, "blocks", []))
    inside = {id(p) for b in blocks for p in b.parameters()}
    return [list(b.parameters()) for b in blocks] + [[p for p in model.parameters() if id(p) not in inside]]


def fsdp(rec, model, micros, ranks, gather_again=True):
    """Each micro-batch gathers a unit's parameters, in backward again (ZeRO-3), and reduces and scatters its gradients."""
    rec.memory.gather(units(model), len(units(model)) - 1)
    for unit in units(model):
        size = sum(p.numel() * p.element_size() for p in unit)
        train_size = sum(p.numel() * p.element_size() for p in unit if p.requires_grad)
        rec.collect("allgather", size // ranks, micros * (2 if gather_again else 1))
        if train_size:
            rec.collect("reducescatter", train_size, micros)


def zero1(rec, model, steps, ranks):
    size = sum(gradients(model))
    rec.collect("reducescatter", size, steps)
    rec.collect("allgather", size // ranks, steps)


def stage(rec, opt, hidden, batch, micros, ends):
    """Activations and their gradients to the neighbours of a pipeline's stage: `ends` says how many there are."""
    rec.collect("sendrecv", batch[0] * batch[1] * hidden * torch.empty((), dtype=opt.dtype).element_size(), micros * ends)


# Optimizers that multiply matrices.
def muon(rec, model, iterations=5, dtype=torch.bfloat16, batched=False):
    with torch.no_grad(), rec.role("optimizer"):
        shapes = [p.shape for n, p in model.named_parameters() if p.dim() == 2 and "table" not in n and "head" not in n]
        groups = {s: shapes.count(s) for s in shapes}
        for (o, i), n in groups.items():
            o, i = min(o, i), max(o, i)
            for count in ([n] if batched else [1] * n):
                x = torch.empty(count, o, i, device="meta", dtype=dtype) if batched else torch.empty(o, i, device="meta", dtype=dtype)
                for _ in range(iterations):
                    a = x @ x.mT
                    if batched:
                        x = torch.baddbmm(x, torch.baddbmm(a, a, a), x)
                    else:
                        x = torch.addmm(x, torch.addmm(a, a, a), x)


def shampoo(rec, model, roots=True):
    """Both sides' statistics each step, their roots by products, and the preconditioned gradient."""
    with torch.no_grad(), rec.role("optimizer"):
        for n, p in model.named_parameters():
            if p.dim() != 2 or "table" in n:
                continue
            g = torch.empty(p.shape, device="meta", dtype=torch.float32)
            left, right = g @ g.t(), g.t() @ g
            if roots:
                for s in (left, right):
                    for _ in range(4):
                        s = s @ s
            left @ g @ right


def gram(rec, model, batches):
    """GPTQ-like calibration: every linear layer's input is multiplied with itself while the model infers, in fp32."""
    def hook(module, args):
        x = args[0].reshape(-1, args[0].shape[-1]).float()
        with rec.role("calibration"):
            x.t() @ x
    hooks = [m.register_forward_pre_hook(hook) for m in model.modules() if isinstance(m, Linear)]
    infer(rec, "inference", model, batches)
    for h in hooks:
        h.remove()


# Losses of preference and of other models' outputs.
def dpo(rec, policy, reference, batch, steps, accumulate=1):
    for _ in range(steps * accumulate):
        rec.micro += 1
        with torch.no_grad(), rec.role("reference"):
            reference.loss(batch)
        with rec.role("forward"):
            loss = policy.loss(batch)
        rec.backward(loss)


def distil(rec, student, teacher, batch, steps):
    for _ in range(steps):
        rec.micro += 1
        with torch.no_grad(), rec.role("teacher"):
            teacher.logits(batch)
        with rec.role("forward"):
            loss = student.loss(batch)
        rec.backward(loss)


def reinforce(rec, policy, reference, sequences, prompt, tokens, updates, critic=None, steps=1, elsewhere=None):
    """GRPO without a critic, PPO with one: answers are generated, judged by the old policy and the reference, and learned."""
    batch = (sequences, prompt + tokens)
    for _ in range(steps):
        generate(rec, "rollout", policy, sequences, prompt, tokens, elsewhere)
        rec.micro += 1
        with torch.no_grad(), rec.role("reference"):
            reference.loss(batch)
            policy.loss(batch)
            if critic is not None:
                critic.hidden(batch)
        for _ in range(updates):
            train(rec, policy, [[batch]])
            if critic is not None:
                with rec.role("forward"):
                    loss = critic.hidden(batch).sum()
                rec.backward(loss)


# Which parameters learn.
def freeze(model, trained):
    for n, p in model.named_parameters():
        p.requires_grad_(trained(n))


def lora(rec, model, rank, targets=None, dtype=None, dequantised=False):
    freeze(model, lambda n: False)
    for n, m in list(model.named_modules()):
        if not isinstance(m, Linear) or "head" in n or ".low" in n or (targets and n.rsplit(".", 1)[-1] not in targets):
            continue
        if dequantised:
            m.mode = "dequantised"
        m.add_lora(rank, dtype)
    return rec.own(model)
