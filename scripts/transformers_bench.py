"""A prompt and a token of transformers on the CPU, beside `lm bench`.

    python scripts/transformers_bench.py [--dtype float32|bfloat16] [--rounds N]

Needs transformers 4.57 and PyTorch. The model has the sizes of Mamba 130m and random weights, the prompt
100 random tokens; `generate()` runs its built-in path, without the CUDA kernels that it can use.
Prints the best of the rounds: the time of a first token, and of each of 60 after it.
"""

import argparse
import time

import torch
from transformers import MambaConfig, MambaForCausalLM

PROMPT = 100
TOKENS = 60


def seconds(model, ids, count):
    start = time.perf_counter()
    model.generate(
        ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
    )
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = MambaConfig(
        hidden_size=768, num_hidden_layers=24, vocab_size=50280, state_size=16
    )
    model = MambaForCausalLM(config).eval().to(getattr(torch, args.dtype))
    ids = torch.randint(0, 50000, (1, PROMPT))
    with torch.inference_mode():
        seconds(model, ids, 3)
        rounds = [
            (seconds(model, ids, 1), seconds(model, ids, 1 + TOKENS))
            for _ in range(args.rounds)
        ]
    first = min(one for one, _ in rounds)
    token = (min(whole for _, whole in rounds) - first) / TOKENS
    print(f"{args.dtype}: prompt {1e3 * first:.0f} ms, a token {1e3 * token:.1f} ms")


if __name__ == "__main__":
    main()
