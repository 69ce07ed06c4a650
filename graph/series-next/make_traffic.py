"""Makes traffic/: small files in the layout of METR-LA, PEMS-BAY and LargeST, and what their owners'
scripts make of them (numpy and pandas), in expected.json.

python make_traffic.py (numpy, pandas, tables)
"""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd

out = Path(__file__).parent / "traffic"
out.mkdir(exist_ok=True)
rng = np.random.default_rng(7)
expected = {}

# METR-LA: a table of floats under the key df, 0 where nothing was measured.
ids = ["773869", "767541", "717447", "717446"]
index = pd.date_range("2012-03-01", periods=100, freq="5min")
speed = np.round(rng.uniform(20, 70, (100, 4)), 3)
speed[7, 2] = 0.0
pd.DataFrame(speed, index=index, columns=ids).to_hdf(out / "metr-la.h5", key="df", mode="w")
expected["speed"] = speed.tolist()

# Distances among more detectors than the data have, and DCRNN's weights of them.
listed = [(a, a, 0.0) for a in ids + ["999999"]]
for a in ids:
    for b in ids:
        if a != b:
            listed.append((a, b, round(float(rng.uniform(100, 9000)), 1)))
listed += [("999999", ids[0], 12.0), (ids[1], "999999", 15.0)]
text = "from,to,cost\n" + "".join(f"{a},{b},{d}\n" for a, b, d in listed)
(out / "distances_la_2012.csv").write_text(text)
(out / "graph_sensor_ids.txt").write_text(",".join(ids))
distance = np.full((4, 4), np.inf, dtype=np.float32)
for a, b, d in listed:
    if a in ids and b in ids:
        distance[ids.index(a), ids.index(b)] = d
sigma = distance[~np.isinf(distance)].std()
weights = np.exp(-np.square(distance / sigma))
weights[weights < 0.1] = 0
expected["weights"] = weights.tolist()
# The pickle lists the detectors in another order than the table.
order = [2, 0, 3, 1]
names = [ids[i] for i in order]
matrix = weights[np.ix_(order, order)].astype(np.float32)
content = [names, {n: i for i, n in enumerate(names)}, matrix]
(out / "adj_mx.pkl").write_bytes(pickle.dumps(content, protocol=2))

# PEMS-BAY: key speed, numbers as names, the hour of summer time left out.
index = pd.date_range("2017-03-11 23:00", periods=72, freq="5min")
index = index[(index < "2017-03-12 02:00") | (index >= "2017-03-12 03:00")]
bay = np.round(rng.uniform(20, 70, (len(index), 3)), 1)
frame = pd.DataFrame(bay, index=index, columns=[400001, 400017, 400030])
frame.to_hdf(out / "pems-bay.h5", key="speed", mode="w")
expected["bay_steps"] = len(index)
(out / "distances_bay_2017.csv").write_text(
    "400001,400001,0.0\n400017,400017,0.0\n400030,400030,0.0\n400001,400017,1500.5\n"
    "400017,400030,320.0\n400030,400001,700.0\n"
)
(out / "graph_sensor_locations_bay.csv").write_text(
    "400001,37.364085,-121.901149\n400017,37.253303,-121.945440\n400030,37.359087,-121.906538\n"
)

# LargeST: raw flow of 5 minutes with NaN and a step of 15 minutes left out.
ids = ["317802", "1118333", "715898", "400057", "1108148"]
index = pd.date_range("2019-01-01", periods=60, freq="5min")
index = index[(index < "2019-01-01 02:00") | (index >= "2019-01-01 02:30")]
flow = np.round(rng.uniform(0, 300, (len(index), 5)))
flow[rng.random(flow.shape) < 0.3] = np.nan
flow[3:6, 1] = np.nan
raw = pd.DataFrame(flow, index=index, columns=ids)
raw.to_hdf(out / "ca_his_raw_2019.h5", key="t", mode="w")
his = raw.resample("15min").mean().round(0).fillna(0)
meta = pd.DataFrame(
    {
        "ID": ids,
        "Lat": [38.6, 32.7, 34.1, 37.4, 32.8],
        "Lng": [-121.4, -117.1, -118.2, -121.9, -117.2],
        "District": [3, 11, 7, 4, 11],
        "County": ["Sacramento", "San Diego", "Los Angeles", "Santa Clara", "San Diego"],
        "Fwy": ["I5-N", "I5-S", "I5-S", "US101-N", "I8-E"],
        "Lane": [3, 4, 4, 3, 4],
        "Type": ["Mainline"] * 5,
        "Direction": ["N", "S", "S", "N", "E"],
        "ID2": range(5),
    }
)
meta.to_csv(out / "ca_meta.csv", index=False)
adjacency = np.eye(5)
adjacency[1, 4], adjacency[4, 1], adjacency[0, 3] = 0.9, 0.25, 0.5
np.save(out / "ca_rn_adj.npy", adjacency)
sd = meta[meta.District == 11]
expected["sd_flow"] = his[sd.ID.astype(str).tolist()].values.tolist()
expected["sd_adjacency"] = adjacency[np.ix_(sd.ID2, sd.ID2)].tolist()

(out / "expected.json").write_text(json.dumps(expected))
