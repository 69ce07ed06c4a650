//! The traffic standards, whose files cannot be had freely, on small generated files in exactly
//! their layout.

use std::fmt::Write;
use std::path::Path;

use ndarray::Array3;
use tgmamba_graph::Result;
use tgmamba_graph::datasets::{SeriesConfig, SeriesSet, load_series};
use tgmamba_graph::formats::npy::write_npz;
use tgmamba_graph::series::{Scaling, write_stamp};

fn load(name: &str, dir: &Path) -> Result<SeriesSet> {
    load_series(&SeriesConfig {
        name: name.into(),
        data_dir: Some(dir.into()),
        clock: None,
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
    assert_eq!(s.values[[7, 2, 1]], 721.0);
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
