# SPDX-License-Identifier: Apache-2.0
"""Records the matrix products of real PyTorch autograd on meta tensors, in order, with the role of each.

A meta tensor has a shape and no memory: the dispatcher, autograd and the checkpointing of PyTorch run as they do on a GPU and ask for
the same products, of any size, and nothing is computed. What is recorded is what torch's dispatcher hands to mm, addmm, bmm, baddbmm and
_scaled_mm; batch, m, n and k are ordered as the Kineto reader (userspace/core/kineto.c) orders them.

Assumption, to be checked on a GPU: autograd on the device runs backward on a thread of its own, so what runs while a graph task of backward
is current is put on another thread than what runs outside of it. (Meta tensors' backward runs on the thread that called it.)
Convolutions go to cuDNN: they are no products here, only counted in a comment. Fused attention is a kernel of its own: no product.

The role of a product never comes from its dimensions: forward code says where it runs (a stack of roles), in backward the saved operands'
storages say whether a parameter is one of them, and the graph's node says whether it leads to a parameter."""
import collections
import contextlib
import gzip
import random
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from allocator import Memory

ATEN = torch.ops.aten
# Where the two operands stand among the arguments.
PRODUCTS = {ATEN.mm.default: 0, ATEN.addmm.default: 1, ATEN.bmm.default: 0, ATEN.baddbmm.default: 1, ATEN._scaled_mm.default: 0}
COPIES = {ATEN._to_copy.default, ATEN.clone.default}
CUDA_TYPE = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.complex64: 4, torch.complex128: 5, torch.bfloat16: 14,
             torch.float8_e4m3fn: 28, torch.float8_e5m2: 29}
# Nodes between a product and its operand that compute nothing.
VIEWS = {n + "Backward0" for n in ("T", "ToCopy", "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Select", "Unbind", "Slice",
                                   "Split", "Expand", "Unsqueeze", "Squeeze", "Clone", "AsStrided")}
GRADIENTS = ("input_gradient", "weight_gradient", "activation_gradient")
# Roles that do not serve training: `training_ops` is the sum of all others.
APART = ("evaluation", "inference", "rollout", "calibration", "padding", "other")
SOURCE = ("opmeter, tests/phases/record.py: PyTorch %s autograd on meta tensors; assumed: backward on a thread of its own, as CUDA's autograd "
          "has it; collectives derived from parameters and activations")


def in_backward():
    return torch._C._current_graph_task_id() >= 0


def leads_to_parameter(node):
    while node is not None:
        if hasattr(node, "variable"):
            return True
        nexts = [f for f, _ in node.next_functions if f is not None]
        if len(nexts) != 1 or node.name() not in VIEWS:
            return False
        node = nexts[0]
    return False


class Recorder(TorchDispatchMode):
    def __init__(self, name, one_thread=False, transform=None, tf32=False):
        super().__init__()
        self.name = name
        self.products, self.steps = {}, []  # key -> [index, calls]; [index, thread, event of self.memory or None]
        self.memory = Memory()
        self.roles = collections.Counter()  # operations by role
        self.collectives = collections.Counter()
        self.convolutions = 0
        self.stack = []
        self.origin = {}  # storage -> (parameter, offset): parameters and copies of them
        self.matrices = {}  # of the model that learns or serves: id -> parameter; tables that are only looked up are left out
        self.part_hidden = {}  # those of which a kernel that is not the math library's made a product
        self.seen = {}  # (parameter, offset, size) of those that a product used -> the parameter
        self.one_thread, self.transform, self.tf32 = one_thread, transform, tf32
        self.thread = None  # set: products run there
        self.c_type = None
        self.is_hidden = False
        self.deferred = []
        self.tokens = 0
        self.micro = 0
        self.random = random.Random(name)

    # What runs where.
    @contextlib.contextmanager
    def role(self, name, thread=None):
        self.stack.append(name)
        before, self.thread = self.thread, thread if thread is not None else self.thread
        try:
            yield
        finally:
            self.stack.pop()
            self.thread = before

    @contextlib.contextmanager
    def hidden(self):
        """Products of kernels that are not the math library's: nobody meters their shapes."""
        before, self.is_hidden = self.is_hidden, True
        try:
            yield
        finally:
            self.is_hidden = before

    @contextlib.contextmanager
    def into(self, c_type):
        before, self.c_type = self.c_type, c_type
        try:
            yield
        finally:
            self.c_type = before

    def segment(self, fn):
        """A function for torch.utils.checkpoint: run again within backward, it recomputes."""
        def again(*args):
            if not in_backward():
                return fn(*args)
            with self.role("recompute"):
                return fn(*args)
        return again

    def backward(self, loss, **kw):
        with self.role(None):
            loss.backward(**kw)

    def flush(self):
        """Weight gradients put off until after backward (zero-bubble pipelines)."""
        for fn in self.deferred:
            fn()
        self.deferred.clear()

    # Parameters.
    def own(self, module, counted=True):
        for n, p in module.named_parameters():
            self.keep(p, (p if counted else None, 0))
            if counted and p.dim() >= 2 and "table" not in n:
                self.matrices[id(p)] = p
        return module

    def keep(self, tensor, origin):
        # A storage that is freed may come again as another: what is known is forgotten with it.
        s = tensor.untyped_storage()
        self.origin[s._cdata] = origin
        weakref.finalize(s, self.origin.pop, s._cdata, None)

    def origin_of(self, t):
        o = self.origin.get(t.untyped_storage()._cdata)
        return None if o is None else (o[0], o[1] + t.storage_offset())

    def role_now(self, a, b):
        top = self.stack[-1] if self.stack else None
        if top:
            return top
        if not in_backward():
            return "forward"
        if self.origin_of(a) or self.origin_of(b):
            return "input_gradient"
        node = torch._C._current_autograd_node()
        if node is not None and any(leads_to_parameter(f) for f, _ in node.next_functions if f is not None):
            return "weight_gradient"
        return "activation_gradient"

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.memory.note(out)
        if func in PRODUCTS:
            at = PRODUCTS[func]
            self.product(func.__name__.split(".")[0], args[at], args[at + 1], out)
        elif func in (ATEN.convolution.default, ATEN.convolution_backward.default):
            self.convolutions += 1
        elif func in COPIES and self.origin_of(args[0]):
            self.keep(out, self.origin_of(args[0]))
        return out

    def product(self, op, a, b, out):
        if self.is_hidden:
            self.note_hidden(a, b)
            return
        role = self.role_now(a, b)
        for t in (a, b):
            o = self.origin_of(t)
            if o and o[0] is not None:
                key = (id(o[0]), o[1], t.numel())
                self.seen[key] = o[0]
        ta, tb, tc = CUDA_TYPE[a.dtype], CUDA_TYPE[b.dtype], CUDA_TYPE[out.dtype] if self.c_type is None else self.c_type
        compute = 70 if ta in (1, 5) else 77 if self.tf32 and ta == 0 else 68
        batch = a.shape[0] if a.dim() == 3 else 1
        shape = (batch, a.shape[-2], b.shape[-1], a.shape[-1])
        use = self.memory.use((a, b, out))
        for s in self.transform(self, shape) if self.transform else [shape]:
            self.add(s, ta | tb << 8 | tc << 16 | compute << 24, op, role, use=use)

    def note_hidden(self, a, b):
        """Of a weight gradient neither operand is the weight: it is the one that has its shape."""
        for t in (a, b):
            o = self.origin_of(t)
            if o and o[0] is not None:
                self.part_hidden[id(o[0])] = o[0]
        for p in self.matrices.values():
            if p.shape == (a.shape[-2], b.shape[-1]):
                self.part_hidden[id(p)] = p

    def unseen(self):
        """Parameters of matrices that no product with its shape met, or not in each role: convolutions, heads that are not used, hidden kernels."""
        seen = {id(p) for p in self.seen.values() if p is not None}
        return sum(p.numel() for i, p in self.matrices.items() if i not in seen or i in self.part_hidden)

    def add(self, shape, types, op, role, thread=None, use=None):
        if 0 in shape:  # PyTorch asks the library for nothing
            return
        if thread is None:
            thread = self.thread if self.thread is not None else 1 if in_backward() and not self.one_thread else 0
        entry = self.products.setdefault((shape, types, op), [len(self.products), 0])
        entry[1] += 1
        per = 8 if types & 255 in (4, 5) else 2
        self.roles[role] += per * shape[0] * shape[1] * shape[2] * shape[3]
        self.steps.append((entry[0], thread, use))

    def collect(self, kind, nbytes, calls=1):
        self.collectives[kind, int(nbytes)] += calls

    def parameters(self, trained=False):
        """How many products used: of a parameter used in parts, and perhaps whole as well, each part once."""
        size = collections.Counter()
        for (_, _, n), p in self.seen.items():
            size[p] = min(p.numel(), size[p] + n)
        return sum(n for p, n in size.items() if p.requires_grad or not trained)

    # The file.
    def truth(self, facts):
        executed = sum(self.roles.values())
        apart = sum(v for r, v in self.roles.items() if r in APART)
        w = {"recompute_ops": self.roles["recompute"], "algorithmic_ops": executed - self.roles["recompute"], "executed_ops": executed,
             "training_ops": executed - apart, "parameters": self.parameters(), "unseen_parameters": self.unseen(), "tokens": self.tokens}
        w.update(facts)
        return {k: v for k, v in w.items() if v is not None}

    def order(self):
        """The lines of the order. Addresses are numbered as they first appear: 0 stands for none."""
        at, threads, names, lines = self.memory.addresses(), {}, {}, []
        for i, thread, use in self.steps:
            thread = threads.setdefault(thread, len(threads))
            ids = (0, 0, 0) if use is None else tuple(names.setdefault(a, len(names) + 1) for a in at[use])
            if lines and lines[-1][0] == i and lines[-1][2:] == [thread, *ids]:
                lines[-1][1] += 1
            else:
                lines.append([i, 1, thread, *ids])
        return ["s " + " ".join(map(str, x)) for x in lines]

    def text(self, kind, facts):
        lines = ["opmeter-run 3", f"name {self.name}", f"source {SOURCE % torch.__version__.split('+')[0]}", "licence Apache-2.0",
                 "gpu none (meta tensors)", f"kind {kind}"]
        lines += [f"# {r}: {v} operations" for r, v in sorted(self.roles.items())]
        if self.convolutions:
            lines.append(f"# {self.convolutions} convolutions, forward and backward, are cuDNN's: no products")
        for (s, types, op), (_, calls) in self.products.items():
            lines.append(f"p {s[0]} {s[1]} {s[2]} {s[3]} {types:08x} {op} {calls}")
        lines += self.order()
        lines += [f"c {k} {b} {n}" for (k, b), n in self.collectives.items()]
        lines += [f"w {k} {v}" for k, v in self.truth(facts).items()]
        return "\n".join(lines) + "\n"

    def write(self, path, kind, facts):
        data = gzip.compress(self.text(kind, facts).encode(), 9, mtime=0)
        with open(path, "wb") as f:
            f.write(data)
        return len(data)
