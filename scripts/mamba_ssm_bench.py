"""The published CUDA and Triton programs (mamba_ssm, causal_conv1d) at the sizes of docs/kernels.md and docs/lm.md.

    python scripts/mamba_ssm_bench.py [ops] [train] [decode]

Random inputs and weights. Times of ops and training are the median of repeated calls between CUDA events, of decoding the
least wall time of three; memory is torch.cuda.max_memory_allocated (GiB of ops, GB of training, where what was reserved
stands beside it). Products in f32 do not use TF32 unless the row says so.
"""

import statistics
import sys
import time

import torch

DEVICE = "cuda"


def median_ms(call, repeats=15):
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def both(name, forward, inputs):
    """Forward alone, forward with backward, and the peak of memory of both."""
    with torch.no_grad():
        alone = median_ms(forward)
    y = forward()
    dy = torch.randn_like(y)

    def step():
        for x in inputs:
            x.grad = None
        forward().backward(dy)

    torch.cuda.reset_peak_memory_stats()
    together = median_ms(step)
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"{name:44} forward {alone:6.2f} ms   both {together:6.2f} ms   {peak:5.2f} GiB", flush=True)


def leaf(*shape, dtype=torch.float32, scale=1.0):
    return (torch.randn(*shape, device=DEVICE) * scale).to(dtype).requires_grad_()


def ops():
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    b, d, l, n = 8, 2048, 2048, 16
    for dtype in (torch.float32, torch.bfloat16):
        u, delta, z = (leaf(b, d, l, dtype=dtype, scale=0.5) for _ in range(3))
        bb, cc = leaf(b, n, l, dtype=dtype), leaf(b, n, l, dtype=dtype)
        a = (-torch.rand(d, n, device=DEVICE) - 0.5).requires_grad_()
        skip, bias = leaf(d), leaf(d)

        def scan():
            return selective_scan_fn(u, delta, a, bb, cc, skip, z=z, delta_bias=bias, delta_softplus=True)

        both(f"selective scan {str(dtype)[6:]}, b 8, d 2048, l 2048", scan, [u, delta, z, bb, cc, a, skip, bias])
    for b, l in ((8, 2048), (1, 16384)):
        h, p, n = 64, 64, 128
        dtype = torch.bfloat16
        x, dt = leaf(b, l, h, p, dtype=dtype), (torch.rand(b, l, h, device=DEVICE) * 0.1).to(dtype).requires_grad_()
        a = (-torch.rand(h, device=DEVICE) - 0.5).requires_grad_()
        bb, cc, skip = leaf(b, l, 1, n, dtype=dtype), leaf(b, l, 1, n, dtype=dtype), leaf(h)

        def ssd():
            return mamba_chunk_scan_combined(x, dt, a, bb, cc, chunk_size=256, D=skip)

        both(f"ssd bfloat16, b {b}, l {l}, h 64, p 64, n 128", ssd, [x, dt, a, bb, cc, skip])


def language_model(layer, d_model, n_layer, vocab, dtype=torch.float32):
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    config = MambaConfig(d_model=d_model, n_layer=n_layer, vocab_size=vocab, ssm_cfg={"layer": layer})
    return MambaLMHeadModel(config, device=DEVICE, dtype=dtype)


def train():
    b, l, vocab = 8, 1300, 256
    for name, tf32, half in (("f32", False, False), ("TF32", True, False), ("bf16 autocast", False, True)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        model = language_model("Mamba1", 384, 24, vocab)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        tokens = torch.randint(0, vocab, (b, l + 1), device=DEVICE)

        def step():
            with torch.autocast("cuda", torch.bfloat16, enabled=half):
                logits = model(tokens[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        ms = median_ms(step)
        peak = torch.cuda.max_memory_allocated() / 1e9
        reserved = torch.cuda.max_memory_reserved() / 1e9
        print(f"training step, Mamba 384 x 24, 8 x 1300, {name:14} {ms:6.1f} ms   {peak:5.2f} GB ({reserved:5.2f} reserved)", flush=True)
        del model, optimizer
    torch.backends.cuda.matmul.allow_tf32 = False


def decode():
    prompt, length = 100, 1000
    for layer in ("Mamba1", "Mamba2"):
        model = language_model(layer, 768, 24, 50277, torch.bfloat16).eval()
        ids = torch.randint(1, 50000, (1, prompt), device=DEVICE)

        def generate():
            model.generate(ids, max_length=prompt + length, cg=True, top_k=1)
            torch.cuda.synchronize()

        generate()
        times = []
        for _ in range(3):
            start = time.time()
            generate()
            times.append(time.time() - start)
        print(f"{layer} 130m bf16, prompt of {prompt}, {length} tokens, captured graph: {min(times):.3f} s", flush=True)


if __name__ == "__main__":
    torch.manual_seed(int(time.time()))
    print(torch.__version__, torch.cuda.get_device_name(0), flush=True)
    for part in sys.argv[1:] or ["ops", "train", "decode"]:
        try:
            {"ops": ops, "train": train, "decode": decode}[part]()
        except Exception as error:
            # One program that does not run with this version of PyTorch must not hide the others.
            print(f"{part}: {type(error).__name__}: {error}", flush=True)
