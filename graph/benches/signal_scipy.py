"""Times SciPy on what benches/signal.rs times; prints a JSON object of seconds.

Each operation as it is called (one thread), and with the channels divided over two threads.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import signal

CHANNELS, RATE, SAMPLES, REPEATS = (int(a) for a in sys.argv[1:5])
x = np.random.default_rng(0).standard_normal((CHANNELS, SAMPLES))
sos = signal.butter(4, [0.5, 40.0], "bandpass", fs=RATE, output="sos")
b, a = signal.iirnotch(50.0, 30.0, RATE)
notch = signal.tf2sos(b, a)

OPERATIONS = {
    "sosfiltfilt": lambda x: signal.sosfiltfilt(sos, x, axis=1),
    "sosfilt": lambda x: signal.sosfilt(sos, x, axis=1),
    "notch": lambda x: signal.sosfiltfilt(notch, x, axis=1),
    "resample_poly": lambda x: signal.resample_poly(x, 2, 5, axis=1),
    "resample": lambda x: signal.resample(x, SAMPLES * 2 // 5, axis=1),
    "stft": lambda x: signal.stft(x, RATE, "hamming", 256, 156),
    "welch": lambda x: signal.welch(x, RATE, "hann", 512, 256),
    "detrend": lambda x: signal.detrend(x, axis=1),
}


def best(f):
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


pool = ThreadPoolExecutor(2)
halves = np.array_split(x, 2)
out = {}
for dtype in ["float64", "float32"]:
    y = x.astype(dtype)
    halves = [np.ascontiguousarray(h) for h in np.array_split(y, 2)]
    for name, f in OPERATIONS.items():
        out[f"{name} {dtype}"] = [best(lambda: f(y)), best(lambda: list(pool.map(f, halves)))]
json.dump(out, sys.stdout)
