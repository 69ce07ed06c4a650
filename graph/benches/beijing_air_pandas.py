"""Times pandas on what `data bench` times: python beijing_air_pandas.py ZIP REPEATS OURS.

From the zip of twelve CSV files to one float32 array (time, stations, features), 0 where missing,
and a mask of what is observed; the direction of the wind as sine and cosine; the clocks of the
stations are compared. OURS is a .npz with `values` and `observed` (as 0 and 1) that must be the same.
Prints a JSON object: seconds, the best of all runs, and the largest difference.
"""

import io
import json
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

path, repeats, ours = sys.argv[1], int(sys.argv[2]), sys.argv[3]
NUMBERS = "PM2.5 PM10 SO2 NO2 CO O3 TEMP PRES DEWP RAIN WSPM".split()
WINDS = "N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW".split()
ANGLE = {wind: np.radians(22.5 * i) for i, wind in enumerate(WINDS)}
DATE = ["year", "month", "day", "hour"]


def station(name):
    with zipfile.ZipFile(path) as archive:
        table = pd.read_csv(
            io.BytesIO(archive.read(name)),
            usecols=DATE + NUMBERS + ["wd"],
            dtype={n: np.float32 for n in NUMBERS},
        )
    stamps = pd.to_datetime(table[DATE]).to_numpy()
    angle = table["wd"].map(ANGLE).to_numpy("f8")
    columns = [table[n].to_numpy("f4") for n in NUMBERS]
    columns += [np.sin(angle).astype("f4"), np.cos(angle).astype("f4")]
    return stamps, np.stack(columns, axis=1)


def run(threads):
    start = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
    if threads == 1:
        parts = [station(n) for n in names]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(station, names))
    assert all((s == parts[0][0]).all() for s, _ in parts)
    values = np.stack([x for _, x in parts], axis=1)
    observed = ~np.isnan(values)
    values[~observed] = 0.0
    return time.perf_counter() - start, values, observed


_, values, observed = run(1)
with np.load(ours) as file:
    assert np.array_equal(file["observed"] > 0, observed)
    difference = float(np.abs(file["values"] - values).max())
json.dump(
    {
        "difference": difference,
        "one": min(run(1)[0] for _ in range(repeats)),
        "two": min(run(2)[0] for _ in range(repeats)),
        "version": pd.__version__,
    },
    sys.stdout,
)
