use ndarray::Array3;

use super::*;
use crate::series::{Feature, Positions, Series, Step, TimePolicy};
use crate::{DatasetInfo, Labels, Recording};

fn set(sensors: &[&str], positions: bool) -> RecordingSet {
    let sensors: Vec<String> = sensors.iter().map(|s| s.to_string()).collect();
    let n = sensors.len();
    let recording = |class: usize| Recording {
        name: format!("r{class}"),
        signal: Array3::from_shape_fn((n, 400, 1), |(v, t, _)| {
            5.0 + ((t * (v + 1)) as f32 * 0.1).sin() * (1 + class) as f32
        }),
        mask: None,
        sampling_rate: Some(40.0),
        labels: Labels::Whole(class),
        subject: None,
        session: None,
        part: None,
    };
    RecordingSet {
        info: DatasetInfo {
            name: "set".into(),
            ..Default::default()
        },
        positions: positions.then(|| electrode_positions(&sensors).unwrap()),
        sensors,
        adjacency: None,
        classes: vec!["rest".into(), "task".into()],
        recordings: vec![recording(0), recording(1)],
        sources: Vec::new(),
    }
}

#[test]
fn electrodes_are_shown_on_a_head_about_their_means() {
    let names = ["Fp1", "Fp2", "Cz", "O1", "O2", "T7", "T8"];
    let e = of_recordings(set(&names, true), &ExcerptOptions::default()).unwrap();
    assert_eq!(e.title, "set, r1, class task");
    assert!(e.head && e.edges_from.contains("Gaussian") && !e.edges.is_empty());
    assert_eq!((e.values.dim(), e.shown.len()), ((7, 200), 5));
    assert_eq!((e.clock, e.times[199]), (Clock::Seconds, 199.0 / 40.0));
    assert!(e.values.mean().unwrap().abs() < 1e-5);
    // Fp1 and Fp2 are neighbours; one of them will do.
    assert!(
        !(e.shown.contains(&0) && e.shown.contains(&1)),
        "{:?}",
        e.shown
    );
}

#[test]
fn what_is_asked_for_is_taken_or_named() {
    let options = |f: &dyn Fn(&mut ExcerptOptions)| {
        let mut o = ExcerptOptions::default();
        f(&mut o);
        of_recordings(set(&["a", "b"], false), &o)
    };
    let e = options(&|o| {
        (o.recording, o.start, o.length) = (Some(0), Some(1.0), Some(0.5));
        o.sensors = vec!["b".into()];
    })
    .unwrap();
    assert_eq!(
        (e.values.ncols(), e.times[0], &e.shown[..]),
        (20, 1.0, &[1][..])
    );
    assert!(!e.head && e.edges_from.contains("correlation"));
    for (change, expected) in [
        (
            (|o| o.recording = Some(2)) as fn(&mut ExcerptOptions),
            "no recording 2 of 2",
        ),
        (|o| o.start = Some(10.0), "leave nothing of 400 steps"),
        (|o| o.start = Some(-1.0), "-1 is no time"),
        (|o| o.sensors = vec!["c".into()], "unknown sensor \"c\""),
        (|o| o.quantity = Some("1".into()), "unknown feature \"1\""),
    ] {
        let error = options(&change).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_series_keeps_its_clock_and_its_gaps() {
    let values = Array3::from_shape_fn((30, 3, 2), |(t, v, f)| match (t, v, f) {
        (4, 0, 1) => f32::NAN,
        _ => (t * v + f) as f32,
    });
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let features = vec![Feature::new("flow", ""), Feature::new("speed", "mph")];
    let stamps: Vec<i64> = (0..30).map(|t| t * 86_400).collect();
    let positions = Positions::LatLon(ndarray::arr2(&[[60.0, 0.0], [60.0, 2.0], [61.0, 0.0]]));
    let series = Series::new(
        DatasetInfo {
            name: "s".into(),
            ..Default::default()
        },
        names,
        features,
        values,
    )
    .unwrap()
    .with_time(&stamps, Some(Step::Seconds(86_400)), TimePolicy::default())
    .unwrap()
    .0
    .with_positions(positions)
    .unwrap();
    let options = ExcerptOptions {
        quantity: Some("speed".into()),
        ..Default::default()
    };
    let e = of_series(&series, &options).unwrap();
    assert_eq!(
        (e.quantity.as_str(), e.clock, e.values.dim()),
        ("speed, mph", Clock::Stamps, (3, 30))
    );
    assert!(e.values[[0, 4]].is_nan());
    assert_eq!((e.moment, e.times[29]), (29, 29.0 * 86_400.0));
    // Two degrees east at 60° north are as far as one degree north.
    let [dx, dy] = [
        e.layout[1][0] - e.layout[0][0],
        e.layout[2][1] - e.layout[0][1],
    ];
    assert!((dx / dy - 1.0).abs() < 0.02, "{dx} {dy}");
}
