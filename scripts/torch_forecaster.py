"""The TGMamba forecaster of `--model tgmamba` in PyTorch, to be timed beside `train`.

    python scripts/torch_forecaster.py --data los_speed.csv --adjacency los_adj.csv [--device cuda] [--compile] [--fused] [--tf32]

Same data, windows, batches, sizes, loss and optimiser as `train --dataset los-loop`. A dense einsum for each step of time, the
graph product of a state shared by both convolutions that need it. Prints seconds of each epoch, the loss and the peak memory.
"""

import argparse
import math
import resource
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


class Block(nn.Module):
    def __init__(self, m, expand, n, k):
        super().__init__()
        d, r = expand * m, math.ceil(m / 16)
        self.n, self.r, self.d = n, r, d
        self.in_proj = nn.Linear(m, 2 * d, bias=False)
        self.conv = nn.Conv1d(d, d, k, groups=d, padding=k - 1)
        self.x_proj = nn.Linear(d, r + 2 * n, bias=False)
        self.dt_proj = nn.Linear(r, d)
        dt = torch.exp(torch.rand(d) * math.log(100) + math.log(1e-3))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, n + 1)).repeat(d, 1))
        self.D = nn.Parameter(torch.ones(d))
        self.norm = nn.Parameter(torch.ones(d))
        self.out_proj = nn.Linear(d, m, bias=False)
        weight = lambda c: nn.Parameter(torch.randn(c, c) / math.sqrt(c) / 2)
        self.a_root, self.a_rel, self.c_root, self.c_rel = (weight(n) for _ in range(4))
        self.b_root, self.b_rel = weight(d), weight(d)

    def forward(self, x, p):
        b, v, l, _ = x.shape
        d, n = self.d, self.n
        x, z = self.in_proj(x).chunk(2, -1)
        x = self.conv(x.reshape(b * v, l, d).transpose(1, 2))[..., :l].transpose(1, 2).reshape(b, v, l, d)
        x = F.silu(x)
        delta, b_in, c_out = self.x_proj(x).split([self.r, n, n], -1)
        delta = F.softplus(self.dt_proj(delta))
        a = -torch.exp(self.A_log)
        u = x @ self.b_root + torch.einsum("vw,bwld->bvld", p, x) @ self.b_rel
        bound = 1 / (self.a_root.abs().sum(0) + self.a_rel.abs().sum(0)).clamp(min=1)
        root, rel = self.a_root * bound, self.a_rel * bound
        h = x.new_zeros(b, v, d, n)
        mixed = h
        ys = []
        for t in range(l):
            dt = delta[:, :, t, :, None]
            h = torch.exp(dt * a) * mixed + dt * u[:, :, t, :, None] * b_in[:, :, t, None]
            ph = torch.einsum("vw,bwdn->bvdn", p, h)
            mixed = h @ root + ph @ rel
            out = h @ self.c_root + ph @ self.c_rel
            ys.append(torch.einsum("bvdn,bvn->bvd", out, c_out[:, :, t]) + self.D * u[:, :, t])
        y = rms(torch.stack(ys, 2) * F.silu(z)) * self.norm
        return self.out_proj(y)


class Forecaster(nn.Module):
    def __init__(self, p, features, clock, slots, days, history, horizon, m, layers=2, n=8, expand=1, k=3, readout=2, dropout=0.1):
        super().__init__()
        v = p.shape[0]
        self.register_buffer("given", p / p.sum(-1, keepdim=True).clamp(min=1e-12))
        self.in_proj, self.clock_proj = nn.Linear(features, m), nn.Linear(clock, m, bias=False)
        table = lambda rows: nn.Parameter((torch.rand(rows, m) * 2 - 1) / math.sqrt(m))
        self.node, self.slot, self.day = table(v), table(slots), table(days)
        self.blocks = nn.ModuleList(Block(m, expand, n, k) for _ in range(layers))
        self.summary, self.history = nn.Linear(m * history, m), nn.Linear(history * (features + clock), m)
        self.readout = nn.ModuleList(nn.ModuleList(nn.Linear(5 * m, 5 * m) for _ in range(2)) for _ in range(readout))
        self.head = nn.Linear(5 * m, horizon)
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)
        self.dropout = dropout

    def forward(self, x, clock, slot, day):
        b, v, l, _ = x.shape
        rows = [self.node.expand(b, -1, -1), self.slot[slot][:, None].expand(-1, v, -1), self.day[day][:, None].expand(-1, v, -1)]
        h = self.in_proj(x) + self.clock_proj(clock)[:, None] + sum(rows)[:, :, None]
        for block in self.blocks:
            h = h + F.dropout(block(rms(h), self.given), self.dropout, self.training)
        past = torch.cat([x, clock[:, None].expand(-1, v, -1, -1)], -1).reshape(b, v, -1)
        z = torch.cat([self.summary(rms(h).reshape(b, v, -1)), self.history(past), *rows], -1)
        for first, second in self.readout:
            z = z + second(F.dropout(F.relu(first(z)), self.dropout, self.training))
        return self.head(z) + x[:, :, -1, :1]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--data", help="a table of steps by sensors; without one, random numbers")
    args.add_argument("--adjacency")
    args.add_argument("--nodes", type=int, default=207)
    args.add_argument("--device", default="cpu")
    args.add_argument("--compile", action="store_true")
    args.add_argument("--tf32", action="store_true")
    args.add_argument("--fused", action="store_true", help="the optimiser as one kernel")
    args.add_argument("--batch-size", type=int, default=32)
    args.add_argument("--windows", type=int, default=1387, help="training windows of an epoch")
    args.add_argument("--epochs", type=int, default=4)
    args.add_argument("--d-model", type=int, default=64)
    args.add_argument("--d-state", type=int, default=8)
    args = args.parse_args()
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.manual_seed(0)
    if args.data:
        raw = np.genfromtxt(args.data, delimiter=",", skip_header=1)
        raw = raw[:, -args.nodes :]
        adjacency = np.genfromtxt(args.adjacency, delimiter=",")
    else:
        rng = np.random.default_rng(0)
        raw = rng.normal(size=(args.windows + 23, args.nodes)).cumsum(0)
        adjacency = (rng.random((args.nodes, args.nodes)) < 8 / args.nodes).astype(float)
    known = raw[: args.windows + 23]
    x = torch.tensor((raw - known.mean()) / known.std(), dtype=torch.float32)
    steps = torch.arange(len(x))
    # The first step is a Thursday.
    weekend = ((steps // 288 + 3) % 7 >= 5).long().to(device)
    clock = torch.stack([steps % 288 / 288, weekend.cpu() * 0.5], -1).float()
    model = Forecaster(torch.tensor(adjacency, dtype=torch.float32), 1, 2, 288, 2, 12, 12, m=args.d_model, n=args.d_state).to(device)
    print("parameters", sum(p.numel() for p in model.parameters()))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4, fused=args.fused or None)

    def step(x, clock, slot, day, y):
        return (model(x, clock, slot, day) - y).abs().mean()

    if args.compile:
        step = torch.compile(step)
    x, clock = x.to(device), clock.to(device)
    # Whole batches only, so that one shape is compiled.
    whole = args.windows // args.batch_size * args.batch_size
    for epoch in range(args.epochs):
        order = torch.randperm(args.windows)[:whole].to(device)
        started = time.perf_counter()
        for starts in order.split(args.batch_size):
            at = starts[:, None] + torch.arange(24, device=device)
            window = x[at].transpose(1, 2)
            last = starts + 11
            loss = step(window[:, :, :12, None], clock[at[:, :12]], last % 288, weekend[last], window[:, :, 12:])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        value = loss.item()
        print(f"epoch {epoch + 1}: {time.perf_counter() - started:.3f} s, loss {value:.4f}", flush=True)
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
    else:
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


main()
