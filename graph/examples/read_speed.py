"""Makes files to try `read_speed.rs` on, and reads them with pandas, NumPy and pyarrow.

    python read_speed.py make FOLDER    tables of 34,272 steps of 207 sensors (as METR-LA) and more
    python read_speed.py FILE...        seconds to read each as float32, the best of three
"""

import pathlib
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.feather
import pyarrow.parquet


def make(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    index = pd.date_range("2012-03-01", periods=34272, freq="5min")
    f = pd.DataFrame(rng.integers(0, 700, (len(index), 207)) / 10, index=index,
                     columns=[str(700000 + i) for i in range(207)])
    f.to_hdf(folder / "fixed.h5", key="df", mode="w")
    f.to_hdf(folder / "zlib.h5", key="df", mode="w", complevel=4, complib="zlib")
    f.to_hdf(folder / "blosc.h5", key="df", mode="w", complevel=5, complib="blosc:lz4")
    np.savez(folder / "plain.npz", data=f.values[..., None])
    np.savez_compressed(folder / "packed.npz", data=f.values[..., None])
    table = pyarrow.Table.from_pandas(f, preserve_index=False)
    pyarrow.parquet.write_table(table, folder / "snappy.parquet")
    pyarrow.feather.write_feather(table, folder / "lz4.feather")


def read(path):
    match pathlib.Path(path).suffix:
        case ".h5":
            return pd.read_hdf(path).values.astype("f4")
        case ".npz":
            return np.load(path)["data"].astype("f4")
        case ".npy":
            return np.load(path).astype("f4")
        case ".parquet":
            return pd.read_parquet(path).values.astype("f4")
        case _:
            return pd.read_feather(path).values.astype("f4")


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    for path in sys.argv[1:]:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            values = read(path)
            best = min(best, time.perf_counter() - start)
        total = np.nansum(values, dtype="f8")
        print(f"{path}: {values.size} values, sum {total:.6e}, {best:.3f} s, "
              f"{values.size * 4e-6 / best:.0f} MB of f32 per second")
