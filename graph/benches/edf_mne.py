"""Times MNE on what `data bench` times: python edf_mne.py REPEATS OUT FILE...

Reads 19 channels of each file, band-passes them (Butterworth of order 4, forward and backward),
resamples to 200 Hz (polyphase) and cuts windows of 5 s into one float32 array, which is saved as
OUT for comparison. Prints a JSON object of seconds: of each step, the best of all runs; of the
whole, with one job and with two.
"""

import json
import sys
import time

import mne
import numpy as np

mne.set_log_level("ERROR")
repeats, out, paths = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
NAMES = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()
STEPS = ["read", "filter", "resample", "window"]


def run(jobs):
    seconds = dict.fromkeys(STEPS, 0.0)
    clock = time.perf_counter()

    def lap(step):
        nonlocal clock
        now = time.perf_counter()
        seconds[step] += now - clock
        clock = now

    windows = []
    for path in paths:
        raw = mne.io.read_raw_edf(path, include=[f"EEG {n}" for n in NAMES], preload=True)
        lap("read")
        raw.filter(0.5, 45.0, method="iir", phase="zero", n_jobs=jobs,
                   iir_params=dict(order=4, ftype="butter", output="sos"))
        lap("filter")
        raw.resample(200.0, method="polyphase", n_jobs=jobs)
        lap("resample")
        epochs = mne.make_fixed_length_epochs(raw, duration=5.0, preload=True)
        windows.append((epochs.get_data(copy=False) * 1e6).astype("f4"))
        lap("window")
    x = np.concatenate(windows)
    lap("window")
    return seconds, x


run(1)
one = [run(1) for _ in range(repeats)]
two = [run(2) for _ in range(repeats)]
np.save(out, one[0][1])
figures = {step: min(r[0][step] for r in one) for step in STEPS}
figures["total"] = min(sum(r[0].values()) for r in one)
figures["two jobs"] = min(sum(r[0].values()) for r in two)
json.dump(figures, sys.stdout)
