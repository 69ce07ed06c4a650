
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
        &["metr-la.h5", "distances_la_2012.csv", "graph_sensor_ids.txt"],
        &folder,
    );
    let listed = load("metr-la", dir.path()).unwrap();
    let s = &listed.series;
    assert_eq!(s.dim(), (100, 4, 1));
    assert_eq!(s.sensors, ["773869", "767541", "717447", "717446"]);
    for (t, row) in expected("speed").iter().enumerate() {
        for (v, value) in row.iter().enumerate() {
            assert_eq!(s.values[[t, v, 0]], *value as f32);
        }
    }
    // 0 is what the file has for a missing value.
    assert!(!s.is_observed(7, 2, 0));
    assert_eq!(s.observed.as_ref().unwrap().iter().filter(|o| !**o).count(), 1);
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
    assert!(text.contains("12 steps of 5 minutes are left out"), "{text}");
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
            assert_eq!(f64::from(s.values[[t, v, 0]]), *value, "{t} {v}");
            assert_eq!(s.is_observed(t, v, 0), *value != 0.0);
        }
    }
    assert_eq!(set.clock.missing(), 2);
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    for (from, row) in expected("sd_adjacency").iter().enumerate() {
        for (to, w) in row.iter().enumerate() {
            assert_eq!(f64::from(graph.weight(to, from)), *w);
        }
    }
    let ca = load("largest-ca", dir.path()).unwrap().series;
    assert_eq!(ca.dim().1, 5);
    assert_eq!(load("largest-gba", dir.path()).unwrap().series.sensors, ["400057"]);
    assert_eq!(load("largest-gla", dir.path()).unwrap().series.sensors, ["715898"]);
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
    assert_eq!((own.values, own.graph), (s.values.clone(), s.graph.clone()));
}
