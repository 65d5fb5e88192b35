# SPDX-License-Identifier: Apache-2.0
"""Where the operands of recorded products would lie: a small deterministic simulation of a caching allocator.

Meta tensors have no memory, but their storages live and die as a GPU's would. Sizes are rounded to 512 bytes; what is freed waits in the list of its
size, and the last one freed is the first to be given out again, so addresses of activations and gradients come again and again, as they do with
PyTorch's allocator. Parameters live as long as the model. Under FSDP a unit's parameters are gathered into a buffer when a product first needs
one of them, at most two units at a time, the rest of the model (the root) for good; the buffers are freed and come again as anything else.

What happens is noted while the run is recorded, and replayed when it is written: which parameters are gathered is told at the end."""
import collections
import weakref

import torch

ROUND = 512


class Memory:
    def __init__(self):
        self.events = []  # ("new", storage, bytes), ("free", storage), ("use", ((storage, offset),) * 3)
        self.live = {}  # _cdata -> number of the storage
        self.count = 0
        self.units = {}  # of gathered parameters: storage -> (unit, offset in it)
        self.size = collections.Counter()  # bytes of a unit

    def storage(self, t):
        s = t.untyped_storage()
        key = s._cdata
        n = self.live.get(key)
        if n is None:
            self.count += 1
            n = self.live[key] = self.count
            self.events.append(("new", n, max(1, s.nbytes())))
            weakref.finalize(s, self.free, key, n)
        return n

    def free(self, key, n):
        if self.live.get(key) == n:
            del self.live[key]
        self.events.append(("free", n))

    def note(self, out):
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, torch.Tensor):
                self.storage(t)

    def use(self, tensors):
        """A product of these operands and this result; returns what stands for their addresses until the run is written."""
        at = tuple((self.storage(t), t.storage_offset() * t.element_size()) for t in tensors)
        self.events.append(("use", at))
        return len(self.events) - 1

    def gather(self, units, root):
        """`units` are lists of parameters that come and go together; `root` is the number of the one that stays."""
        base = len(self.size)
        for i, unit in enumerate(units):
            for p in unit:
                n = self.storage(p)
                if n not in self.units:
                    self.units[n] = (base + i if i != root else -1 - base - i, self.size[base + i])
                    self.size[base + i] += -(-p.numel() * p.element_size() // 16) * 16

    def addresses(self):
        """event of a use -> the three addresses."""
        sim, at, got = Simulation(), {}, {}
        gathered = collections.OrderedDict()  # unit -> (address, bytes)
        for i, e in enumerate(self.events):
            if e[0] == "new":
                at[e[1]] = (sim.take(e[2]), e[2])
            elif e[0] == "free":
                if e[1] in at:
                    sim.give(*at.pop(e[1]))
            else:
                got[i] = tuple(self.address(sim, at, gathered, n) + off for n, off in e[1])
        return got

    def address(self, sim, at, gathered, n):
        if n not in self.units:
            return at[n][0]
        unit, offset = self.units[n]
        if unit not in gathered:
            temporary = [u for u in gathered if u >= 0]
            if unit >= 0 and len(temporary) > 1:
                sim.give(*gathered.pop(temporary[0]))
            size = self.size[unit if unit >= 0 else -1 - unit]
            gathered[unit] = (sim.take(size), size)
        gathered.move_to_end(unit)
        return gathered[unit][0] + offset


class Simulation:
    def __init__(self):
        self.end, self.lists = 1 << 20, collections.defaultdict(list)

    def take(self, size):
        size = -(-size // ROUND) * ROUND
        if self.lists[size]:
            return self.lists[size].pop()
        self.end += size
        return self.end - size

    def give(self, address, size):
        self.lists[-(-size // ROUND) * ROUND].append(address)
