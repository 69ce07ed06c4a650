use ndarray::{arr2, array};

use super::*;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| s.to_string()).collect()
}

fn small() -> Series {
    let features = vec![Feature::new("flow", "").null(0.0), Feature::new("t", "°C")];
    let values = array![
        [[1.0, 0.0], [0.0, f32::NAN]],
        [[2.0, -1.0], [3.0, 4.0]],
        [[5.0, f32::INFINITY], [6.0, 7.0]],
    ];
    Series::new(Default::default(), names(&["a", "b"]), features, values).unwrap()
}

#[test]
fn null_values_are_per_feature() {
    let s = small();
    assert_eq!(
        s.observed().unwrap(),
        array![[[1, 1], [0, 0]], [[1, 1], [1, 1]], [[1, 0], [1, 1]]]
    );
    assert_eq!(s.values()[[0, 1, 1]], 0.0);
    assert_eq!(s.values()[[2, 0, 1]], 0.0);
    assert!(!s.is_observed(0, 1, 0) && s.is_observed(0, 0, 1));
    assert_eq!(s.feature("t").unwrap(), 1);
    assert!(s.feature("flux").unwrap_err().to_string().contains("flow"));
    let whole = Series::new(
        Default::default(),
        names(&["a"]),
        vec![Feature::new("x", "")],
        array![[[0.0]]],
    );
    assert!(whole.unwrap().observed().is_none());
}

#[test]
fn shapes_and_names_are_checked() {
    let make = |sensors: &[&str], values: Array3<f32>| {
        let info = DatasetInfo {
            name: "s".into(),
            ..Default::default()
        };
        Series::new(info, names(sensors), vec![Feature::new("x", "")], values)
    };
    for (sensors, shape, expected) in [
        (&["a", "b"][..], (3, 1, 1), "(3, 1, 1) for 2 sensors"),
        (&["a"], (3, 1, 2), "1 features"),
        (&["a"], (0, 1, 1), "(0, 1, 1)"),
        (&["a", "a"], (1, 2, 1), "\"a\" occurs more than once"),
    ] {
        let error = make(sensors, Array3::zeros(shape)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn clock_faults_are_mended_only_when_allowed() {
    let stamps = [7200, 0, 10_800];
    let text = small()
        .with_time(&stamps, None, TimePolicy::default())
        .unwrap_err()
        .to_string();
    assert!(text.contains("1970-01-01 00:00:00"), "{text}");
    let graphs = [0.5, 1.5, 2.5].map(|w| Arc::new(CsrGraph::from_edges(2, &[(0, 1, w)]).unwrap()));
    let series = small()
        .with_graph(SeriesGraph::PerStep(graphs.to_vec()))
        .unwrap();
    let (s, report) = series
        .with_time(&stamps, Some(Step::Seconds(3600)), TimePolicy::mend())
        .unwrap();
    assert_eq!(
        s.values().index_axis(Axis(1), 0).column(0).to_vec(),
        [2.0, 0.0, 1.0, 5.0]
    );
    assert_eq!(s.time.as_ref().unwrap().stamps(), [0, 3600, 7200, 10_800]);
    assert!(!s.is_observed(1, 0, 0) && s.is_observed(0, 0, 0));
    let weight = |t: usize| s.graph.as_ref().unwrap().at(t).unwrap().to_dense()[[1, 0]];
    assert_eq!([0, 1, 2, 3].map(weight), [1.5, 1.5, 0.5, 2.5]);
    assert_eq!((report.unordered, report.missing()), (1, 1));
    let r = s.to_recording();
    assert_eq!(r.signal.dim(), (2, 4, 2));
    assert_eq!(r.signal[[1, 3, 1]], 7.0);
    assert_eq!(r.sampling_rate, Some(1.0 / 3600.0));
    assert_eq!(
        r.mask.unwrap(),
        arr2(&[[true, false, true, false], [true, false, false, true]])
    );
}

#[test]
fn positions_and_graphs_fit_the_sensors() {
    let bad = |p: Positions| small().with_positions(p).unwrap_err().to_string();
    let degrees = bad(Positions::LatLon(arr2(&[[34.0, -118.0], [-118.0, 34.0]])));
    assert!(degrees.contains("sensor b is at (-118, 34)"), "{degrees}");
    assert!(bad(Positions::Metres(arr2(&[[1.0, 2.0]]))).contains("shape [1, 2]"));
    assert!(bad(Positions::Metres(arr2(&[[1.0, f64::NAN], [0.0, 0.0]]))).contains("NaN"));
    let three = CsrGraph::from_edges(3, &[]).unwrap();
    let text = small()
        .with_graph(SeriesGraph::fixed(three))
        .unwrap_err()
        .to_string();
    assert!(text.contains("3 nodes for 2 sensors"), "{text}");
    let two = Arc::new(CsrGraph::from_edges(2, &[]).unwrap());
    let text = small()
        .with_graph(SeriesGraph::PerStep(vec![two]))
        .unwrap_err()
        .to_string();
    assert!(text.contains("1 graphs for 3 steps"), "{text}");
}
