"""A random network of sensors as a folder that `train --dataset` reads.

    python scripts/random_network.py FOLDER SENSORS STEPS NEIGHBOURS

Each sensor follows itself and the mean of its neighbours a step before, with noise.
"""

import pathlib
import sys

import numpy as np

folder, (sensors, steps, degree) = pathlib.Path(sys.argv[1]), map(int, sys.argv[2:5])
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
x = np.zeros((steps, sensors), np.float32)
x[0] = rng.normal(size=sensors)
sources = rng.integers(0, sensors, (sensors, degree))
for t in range(1, steps):
    x[t] = 0.7 * x[t - 1] + 0.25 * x[t - 1][sources].mean(1) + 0.3 * rng.normal(size=sensors)

with open(folder / "flow.csv", "w") as file:
    file.write(",".join(f"s{i}" for i in range(sensors)) + "\n")
    np.savetxt(file, 60 + 5 * x, fmt="%.3f", delimiter=",")
with open(folder / "edges.csv", "w") as file:
    file.write("from,to,weight\n")
    for i in range(sensors):
        for j in sorted(set(sources[i].tolist()) - {i}):
            file.write(f"s{j},s{i},1.0\n")
(folder / "dataset.toml").write_text(
    'files = "flow.csv"\n[graph]\nedges = "edges.csv"\n[forecast]\nfeature = "flow"\nhistory = 12\nhorizon = 12\n'
)
