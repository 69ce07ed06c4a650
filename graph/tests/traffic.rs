//! The traffic standards, whose files cannot be had freely, on small generated files in exactly
//! their layout.

use std::fmt::Write;
use std::path::Path;

use ndarray::Array3;
use tgmamba_graph::Result;
use tgmamba_graph::datasets::{SeriesConfig, SeriesSet, load_series};
use tgmamba_graph::formats::npy::write_npz;
use tgmamba_graph::series::{Positions, Scaling, TimePolicy, write_stamp};

fn load(name: &str, dir: &Path) -> Result<SeriesSet> {
    load_series(&SeriesConfig {
        name: name.into(),
        data_dir: Some(dir.into()),
        ..Default::default()
    })
}

/// `data` (t, v, f) with the value 100 t + 10 v + f, 0 at the step 5 of node 1.
fn npz(path: &Path, steps: usize, nodes: usize, features: usize) {
    let data = Array3::from_shape_fn((steps, nodes, features), |(t, v, f)| {
        if (t, v) == (5, 1) {
            0.0
        } else {
            (100 * t + 10 * v + f) as f32
        }
    });
    write_npz(path, &[("data", data.into_dyn())]).unwrap();
}

#[test]
fn pems04_by_node_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pems04");
    std::fs::create_dir(&folder).unwrap();
    npz(&folder.join("pems04.npz"), 100, 4, 3);
    // As published: header, both columns numbers of nodes, one row for a road.
    let list = "from,to,cost\n0,1,352.6\n3,1,347.2\n";
    std::fs::write(folder.join("distance.csv"), list).unwrap();
    let set = load("pems04", dir.path()).unwrap();
    let s = &set.series;
    assert_eq!(s.dim(), (100, 4, 3));
    let names: Vec<&str> = s.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["flow", "occupancy", "speed"]);
    assert_eq!(s.values()[[7, 2, 1]], 721.0);
    // Only a flow of 0 stands for a missing value.
    assert!(!s.is_observed(5, 1, 0) && s.is_observed(5, 1, 1));
    assert!(!s.is_observed(0, 0, 0) && s.is_observed(0, 1, 0));
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!(graph.n_edges(), 4);
    assert_eq!((graph.weight(1, 0), graph.weight(0, 1)), (1.0, 1.0));
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[1]), "2018-01-01 00:05:00");
    let p = &set.protocol;
    assert_eq!((p.history, p.horizon, p.scaling), (12, 12, Scaling::Zscore));
    // STSGCN cuts the steps at 60 and 80: 60 − 23 windows, then 20 steps are too few for one.
    assert!(
        p.split
            .starts(100, 12, 12)
            .unwrap_err()
            .to_string()
            .contains("test part")
    );
    let parts = p.split.starts(1000, 12, 12).unwrap();
    let counts = [&parts.train, &parts.validation, &parts.test].map(Vec::len);
    assert_eq!(counts, [577, 177, 177]);
    assert_eq!(s.sources.len(), 2);
}

#[test]
fn pems03_by_the_names_of_its_detectors() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("PEMS03");
    std::fs::create_dir(&folder).unwrap();
    npz(&folder.join("PEMS03.npz"), 60, 3, 1);
    std::fs::write(folder.join("PEMS03.txt"), "317842\n318711\n313344\n").unwrap();
    let list = "from,to,distance\n313344,317842,0.43\n";
    std::fs::write(folder.join("PEMS03.csv"), list).unwrap();
    let set = load("pems03", dir.path()).unwrap();
    let s = &set.series;
    assert_eq!(s.sensors[2], "313344");
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!((graph.weight(0, 2), graph.n_edges()), (1.0, 2));
    std::fs::write(folder.join("PEMS03.txt"), "317842\n318711\n").unwrap();
    let text = load("pems03", dir.path()).unwrap_err().to_string();
    assert!(text.contains("names 2 sensors, but there are 3"), "{text}");
    std::fs::write(folder.join("PEMS03.txt"), "1,2,3").unwrap();
    let text = load("pems03", dir.path()).unwrap_err().to_string();
    assert!(text.contains("there is no sensor 313344"), "{text}");
    std::fs::remove_file(folder.join("PEMS03.csv")).unwrap();
    let text = load("pems03", dir.path()).unwrap_err().to_string();
    assert!(text.contains("distance.csv is there"), "{text}");
    npz(&folder.join("PEMS03.npz"), 60, 3, 2);
    let text = load("pems03", dir.path()).unwrap_err().to_string();
    assert!(
        text.contains("data: is not (time, nodes, 1 or 3)"),
        "{text}"
    );
}

#[test]
fn pemsd7m_on_working_days() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pemsd7m");
    std::fs::create_dir(&folder).unwrap();
    let mut text = String::new();
    for t in 0..44 * 288 {
        writeln!(text, "{},{:.1},65.5", t % 70, 30.0 + (t % 7) as f32).unwrap();
    }
    std::fs::write(folder.join("PeMSD7_V_228.csv"), &text).unwrap();
    // Metres; the row of a detector weighs what it hears of others.
    let matrix = "0,1000,9000\n2000.5,0,2500\n9000,2700,0\n";
    std::fs::write(folder.join("PeMSD7_W_228.csv"), matrix).unwrap();
    let stations = ",ID,Fwy,Dir,District,Latitude,Longitude\n0,716939,5,S,7,34.041407,-118.218373\n\
                    1,759700,5,S,7,34.020961,-118.195456\n2,716925,5,N,7,33.995023,-118.144513\n";
    std::fs::write(folder.join("PeMSD7_M_Station_Info.csv"), stations).unwrap();
    let set = load("pemsd7m", dir.path()).unwrap();
    let s = &set.series;
    assert_eq!(s.dim(), (12_672, 3, 1));
    assert_eq!(s.sensors[0], "716939");
    assert!(s.positions.is_some());
    let time = s.time.as_ref().unwrap();
    // Tuesday, 1 May, to Friday, 29 June 2012, without weekends.
    assert_eq!(write_stamp(time.stamps()[0]), "2012-05-01 00:00:00");
    assert_eq!(write_stamp(time.stamps()[4 * 288]), "2012-05-07 00:00:00");
    assert_eq!(write_stamp(time.stamps()[12_671]), "2012-06-29 23:55:00");
    assert_eq!(time.gaps().len(), 8);
    assert_eq!(set.clock.gaps.len(), 8);
    // exp(-(metres / 10,000)² / 0.1) from 0.5 on, without loops: up to 2633 m.
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!(graph.n_edges(), 3);
    assert!((graph.weight(0, 1) - (-0.1f32).exp()).abs() < 1e-6);
    assert!((graph.weight(1, 0) - 0.670_186).abs() < 1e-6);
    assert!((graph.weight(1, 2) - (-0.625f32).exp()).abs() < 1e-6);
    assert_eq!(graph.weight(2, 1), 0.0);
    let parts = set.protocol.split.starts(s.len(), 12, 9).unwrap();
    let counts = [&parts.train, &parts.validation, &parts.test].map(Vec::len);
    assert_eq!(counts, [34 * 268, 5 * 268, 5 * 268]);
    std::fs::write(folder.join("PeMSD7_W_228.csv"), "0,1\n1,0\n").unwrap();
    let text = load("pemsd7m", dir.path()).unwrap_err().to_string();
    assert!(text.contains("[2, 2]") || text.contains("(2, 2)"), "{text}");
}

/// Small files in the layout of the owners, and what the owners' scripts make of them; see
/// `fixtures/make_traffic.py`.
fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traffic")
}

fn expected(key: &str) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all[key].clone()).unwrap()
}

fn copy(files: &[&str], folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in files {
        std::fs::copy(fixtures().join(file), folder.join(file)).unwrap();
    }
}

#[test]
fn metr_la_with_the_weights_of_dcrnn() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("metr_la");
    copy(
        &[
            "metr-la.h5",
            "distances_la_2012.csv",
            "graph_sensor_ids.txt",
        ],
        &folder,
    );
    let listed = load("metr-la", dir.path()).unwrap();
    let s = &listed.series;
    assert_eq!(s.dim(), (100, 4, 1));
    assert_eq!(s.sensors, ["773869", "767541", "717447", "717446"]);
    for (t, row) in expected("speed").iter().enumerate() {
        for (v, value) in row.iter().enumerate() {
            assert_eq!(s.values()[[t, v, 0]], *value as f32);
        }
    }
    // 0 is what the file has for a missing value.
    assert!(!s.is_observed(7, 2, 0));
    assert_eq!(s.observed().unwrap().iter().filter(|o| **o == 0).count(), 1);
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[99]), "2012-03-01 08:15:00");
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    let weights = expected("weights");
    for (from, row) in weights.iter().enumerate() {
        for (to, w) in row.iter().enumerate() {
            assert!((f64::from(graph.weight(to, from)) - w).abs() < 1e-6);
        }
    }
    let p = &listed.protocol;
    let parts = p.split.starts(s.len(), p.history, p.horizon).unwrap();
    let counts = [&parts.train, &parts.validation, &parts.test].map(Vec::len);
    assert_eq!(counts, [54, 8, 15]);
    // The pickle, in another order of the detectors and in a folder like DCRNN's, says the same.
    copy(&["adj_mx.pkl"], &folder.join("sensor_graph"));
    let pickled = load("metr-la", dir.path()).unwrap();
    let other = pickled.series.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!(other.n_edges(), graph.n_edges());
    for (source, target, w) in graph.edges() {
        assert!((other.weight(target, source) - w).abs() < 1e-6);
    }
    // A graph of other detectors is refused, and so is none.
    std::fs::remove_dir_all(folder.join("sensor_graph")).unwrap();
    std::fs::write(folder.join("graph_sensor_ids.txt"), "773869,767541").unwrap();
    let text = load("metr-la", dir.path()).unwrap_err().to_string();
    assert!(text.contains("717447 is not among them"), "{text}");
    std::fs::remove_file(folder.join("distances_la_2012.csv")).unwrap();
    let text = load("metr-la", dir.path()).unwrap_err().to_string();
    assert!(text.contains("neither this file nor"), "{text}");
}

#[test]
fn pems_bay_runs_across_the_hour_of_summer_time() {
    let dir = tempfile::tempdir().unwrap();
    copy(
        &[
            "pems-bay.h5",
            "distances_bay_2017.csv",
            "graph_sensor_locations_bay.csv",
        ],
        &dir.path().join("pems_bay"),
    );
    let set = load("pems-bay", dir.path()).unwrap();
    let s = &set.series;
    assert_eq!(s.dim(), (60, 3, 1));
    assert_eq!(s.sensors, ["400001", "400017", "400030"]);
    assert_eq!((set.clock.gaps.len(), set.clock.missing()), (1, 12));
    assert_eq!(write_stamp(set.clock.gaps[0].after), "2017-03-12 01:55:00");
    let Some(Positions::LatLon(p)) = &s.positions else {
        panic!()
    };
    assert_eq!(p[[1, 1]], -121.94544);
    assert!(s.graph.as_ref().unwrap().at(0).unwrap().n_edges() > 3);
    // Strict or mended instead of the published way.
    let with = |clock: TimePolicy| {
        load_series(&SeriesConfig {
            name: "pems-bay".into(),
            data_dir: Some(dir.path().into()),
            clock: Some(clock),
            ..Default::default()
        })
    };
    let text = with(TimePolicy::default()).unwrap_err().to_string();
    assert!(
        text.contains("12 steps of 5 minutes are left out"),
        "{text}"
    );
    let filled = with(TimePolicy::mend()).unwrap().series;
    assert_eq!(filled.len(), 72);
    assert!(!filled.is_observed(40, 0, 0));
}

#[test]
fn largest_from_the_raw_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("largest");
    copy(
        &["ca_his_raw_2019.h5", "ca_meta.csv", "ca_rn_adj.npy"],
        &folder,
    );
    let set = load("largest-sd", dir.path()).unwrap();
    let s = &set.series;
    assert_eq!(s.info.name, "largest-sd");
    assert_eq!(s.sensors, ["1118333", "1108148"]);
    let flow = expected("sd_flow");
    assert_eq!(s.dim(), (flow.len(), 2, 1));
    for (t, row) in flow.iter().enumerate() {
        for (v, value) in row.iter().enumerate() {
            assert_eq!(f64::from(s.values()[[t, v, 0]]), *value, "{t} {v}");
            assert_eq!(s.is_observed(t, v, 0), *value != 0.0);
        }
    }
    assert_eq!(set.clock.missing(), 2);
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    for (from, row) in expected("sd_adjacency").iter().enumerate() {
        for (to, w) in row.iter().enumerate() {
            assert_eq!(graph.weight(to, from), *w as f32);
        }
    }
    let ca = load("largest-ca", dir.path()).unwrap().series;
    assert_eq!(ca.dim().1, 5);
    let years = |name: &str, years: &[u16]| {
        load_series(&SeriesConfig {
            name: name.into(),
            data_dir: Some(dir.path().into()),
            years: years.to_vec(),
            ..Default::default()
        })
    };
    assert_eq!(
        years("largest-sd", &[2019]).unwrap().series.values(),
        s.values()
    );
    let text = years("largest-sd", &[2019, 2020]).unwrap_err().to_string();
    assert!(text.contains("ca_his_raw_2020.h5"), "{text}");
    let text = years("pems-bay", &[2019]).unwrap_err().to_string();
    assert!(text.contains("largest-sd"), "{text}");
    assert_eq!(
        load("largest-gba", dir.path()).unwrap().series.sensors,
        ["400057"]
    );
    assert_eq!(
        load("largest-gla", dir.path()).unwrap().series.sensors,
        ["715898"]
    );
    let years = |years: &[u16]| {
        load_series(&SeriesConfig {
            name: "largest-sd".into(),
            data_dir: Some(dir.path().into()),
            years: years.to_vec(),
            ..Default::default()
        })
    };
    let text = years(&[2018]).unwrap_err().to_string();
    assert!(text.contains("ca_his_raw_2018.h5"), "{text}");
    // The files that the authors' notebooks make of it are read as they are.
    std::fs::write(
        folder.join("sd_meta.csv"),
        "ID,Lat,Lng,District,ID2\n1118333,32.7,-117.1,11,1\n1108148,32.8,-117.2,11,4\n",
    )
    .unwrap();
    let own = years(&[2019]).unwrap().series;
    assert_eq!((own.values(), &own.graph), (s.values(), &s.graph));
}
