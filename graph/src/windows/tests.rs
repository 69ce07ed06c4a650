use ndarray::{Array2, Array3};

use super::*;
use crate::signal::FeatureConfig;
use crate::{Dataset, Labels, Part, Result};

fn recording(name: &str, signal: Array3<f32>, labels: Labels) -> Recording {
    Recording {
        name: name.into(),
        signal,
        mask: None,
        sampling_rate: Some(10.0),
        labels,
        subject: Some("s1".into()),
        session: Some("0".into()),
        part: Some(Part::Train),
    }
}

fn set(recordings: Vec<Recording>) -> RecordingSet {
    let sensors = vec!["a".into(), "b".into()];
    RecordingSet {
        recordings,
        ..RecordingSet::new(DatasetInfo::default(), sensors, &["x", "y"])
    }
}

fn ramp(n: usize) -> Array3<f32> {
    Array3::from_shape_fn((2, n, 1), |(v, t, _)| (100 * v + t) as f32)
}

fn of(length: f64, stride: Option<f64>, unit: Unit) -> WindowConfig {
    WindowConfig {
        length: Some(length),
        stride,
        unit,
    }
}

fn go(set: RecordingSet, window: &WindowConfig) -> Result<Dataset> {
    cut(set, window, &FeatureConfig::default(), Missing::Error)
}

#[test]
fn ranges_drop_the_rest() {
    let ranges = |w: WindowConfig, n| w.ranges(n, Some(10.0)).unwrap();
    assert_eq!(ranges(of(0.4, None, Unit::Seconds), 11), [0..4, 4..8]);
    assert_eq!(
        ranges(of(4.0, Some(3.0), Unit::Samples), 10),
        [0..4, 3..7, 6..10]
    );
    assert!(ranges(of(4.0, None, Unit::Samples), 3).is_empty());
    assert!(of(0.01, None, Unit::Seconds).ranges(9, Some(10.0)).is_err());
    assert!(of(1.0, None, Unit::Seconds).ranges(9, None).is_err());
    assert!(of(f64::NAN, None, Unit::Samples).ranges(9, None).is_err());
    assert!(of(-1.0, None, Unit::Samples).ranges(9, None).is_err());
}

#[test]
fn windows_keep_order_and_groups() {
    let steps = vec![0, 0, 1, 1, 1, 0, 0];
    let data = go(
        set(vec![
            recording("r", ramp(7), Labels::PerStep(steps)),
            recording("q", ramp(4), Labels::PerStep(vec![1; 4])),
        ]),
        &of(4.0, Some(3.0), Unit::Samples),
    )
    .unwrap();
    assert_eq!(data.x.dim(), (3, 2, 4, 1));
    assert_eq!(data.x[[1, 1, 0, 0]], 103.0);
    // Ties: 0 0 1 1 takes the later; 1 1 0 0 as well.
    assert_eq!(data.y, [1, 0, 1]);
    assert_eq!(data.recording, [0, 0, 1]);
    assert_eq!(data.session.unwrap(), ["s1/0"; 3]);
    assert!(data.mask.is_none());
}

#[test]
fn a_million_windows_take_the_memory_of_their_recording() {
    let (n, length) = (1_000_000, 2_000);
    let steps = n + length - 1;
    let signal = Array3::from_shape_fn((2, steps, 1), |(v, t, _)| (t % 8_191 + v) as f32);
    let recordings = vec![recording("r", signal, Labels::Whole(1))];
    let data = go(set(recordings), &of(2000.0, Some(1.0), Unit::Samples)).unwrap();
    assert_eq!(data.x.dim(), (n, 2, length, 1));
    // As one array these would be 16 GB.
    assert_eq!(data.x.stored_bytes(), 2 * steps * size_of::<f32>());
    let index = [n - 1, 0, 123_457];
    let batch = data.gather(&index);
    for (i, first) in index.into_iter().enumerate() {
        for (v, t) in [(0, 0), (1, 1_999), (1, 1_000)] {
            assert_eq!(batch[[i, v, t, 0]], ((first + t) % 8_191 + v) as f32);
        }
    }
}

#[test]
fn missing_values_are_named_or_masked() {
    let mut signal = ramp(5);
    signal[[1, 3, 0]] = f32::NAN;
    let data = set(vec![recording("r7", signal, Labels::Whole(1))]);
    let error = go(data.clone(), &WindowConfig::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("r7") && error.contains("sensor b is NaN at time step 3"),
        "{error}"
    );
    let masked = cut(
        data,
        &WindowConfig::default(),
        &FeatureConfig::default(),
        Missing::Mask,
    )
    .unwrap();
    let mask = masked.mask.unwrap();
    assert_eq!(mask.gather(&[0]).iter().filter(|s| !**s).count(), 1);
    assert!(!mask[[0, 1, 3]]);
    assert_eq!(masked.x[[0, 1, 3, 0]], 0.0);
    assert_eq!(masked.x[[0, 1, 2, 0]], 102.0);
}

#[test]
fn crop_and_decimation_move_labels_along() {
    let steps = (0..40).map(|t| usize::from(t >= 20)).collect();
    let data = set(vec![recording("r", ramp(40), Labels::PerStep(steps))]);
    let features = FeatureConfig {
        crop_seconds: Some([1.0, 3.0]),
        decimate: 2,
        ..Default::default()
    };
    let window = of(1.0, None, Unit::Seconds);
    let data = cut(data, &window, &features, Missing::Error).unwrap();
    assert_eq!(data.x.dim(), (2, 2, 5, 1));
    assert_eq!(data.y, [0, 1]);
}

#[test]
fn labels_follow_resampling() {
    let steps = (0..40).map(|t| usize::from(t >= 20)).collect();
    let mut r = recording("r", ramp(40), Labels::PerStep(steps));
    let mut mask = Array2::from_elem((2, 40), true);
    mask[[0, 39]] = false;
    r.mask = Some(mask);
    let features: FeatureConfig =
        toml::from_str("steps = [{ kind = \"resample\", hz = 5, method = \"linear\" }]").unwrap();
    let window = of(1.0, None, Unit::Seconds);
    let data = cut(set(vec![r]), &window, &features, Missing::Error).unwrap();
    assert_eq!(data.x.dim(), (4, 2, 5, 1));
    assert_eq!(data.y, [0, 0, 1, 1]);
    assert_eq!(data.x[[1, 1, 2, 0]], 114.0);
    // The step that is missing falls between two of the new ones.
    assert!(data.mask.is_none());
}

#[test]
fn disturbed_windows_are_left_out() {
    let mut signal = ramp(20);
    signal[[0, 7, 0]] = 1e3;
    let go = |reject: &str| {
        let text = format!("reject = {{ peak_to_peak = 50, {reject} }}");
        let features: FeatureConfig = toml::from_str(&text).unwrap();
        let r = recording("r", signal.clone(), Labels::Whole(1));
        let window = of(5.0, None, Unit::Samples);
        cut(set(vec![r]), &window, &features, Missing::Error)
    };
    let data = go("").unwrap();
    assert_eq!((data.x.dim().0, data.y.len()), (3, 3));
    assert_eq!(data.x[[1, 0, 0, 0]], 10.0);
    assert!(data.mask.is_none());
    let masked = go("tolerate = 0.5").unwrap();
    assert_eq!(masked.x.dim().0, 4);
    let mask = masked.mask.unwrap();
    assert!(!mask[[1, 0, 0]] && mask[[1, 1, 0]] && mask[[0, 0, 0]]);
    assert_eq!(masked.x[[1, 0, 2, 0]], 0.0);
    let error = go("flat = 5").unwrap_err().to_string();
    assert!(error.contains("none of 4 windows"), "{error}");
}

#[test]
fn montages_change_the_nodes() {
    let mut data = set(vec![recording("r", ramp(4), Labels::Whole(0))]);
    data.sensors = vec!["EEG T3-REF".into(), "EEG C3-REF".into()];
    let features: FeatureConfig = toml::from_str("montage = [\"C3-T7\"]").unwrap();
    let data = cut(data, &WindowConfig::default(), &features, Missing::Error).unwrap();
    assert_eq!(data.sensors, ["C3-T7"]);
    assert_eq!(data.x.window(0), Array3::from_elem((1, 4, 1), 100.0));
}

#[test]
fn contradictions_are_errors() {
    let whole = WindowConfig::default();
    let r = |n, l| recording("r", ramp(n), l);
    let expect = |set: RecordingSet, text: &str| {
        let error = go(set, &whole).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    expect(set(vec![]), "no recordings");
    expect(
        set(vec![r(4, Labels::Whole(0)), r(5, Labels::Whole(0))]),
        "window.length",
    );
    expect(set(vec![r(4, Labels::Whole(2))]), "label 2");
    expect(set(vec![r(4, Labels::PerStep(vec![0]))]), "1 labels for 4");
    expect(
        set(vec![r(4, Labels::Whole(0)), r(4, Labels::None)]),
        "label",
    );
    let mut other = r(4, Labels::Whole(0));
    other.sampling_rate = None;
    expect(set(vec![r(4, Labels::Whole(0)), other]), "sampling rate");
    let mut other = set(vec![r(4, Labels::Whole(0))]);
    other.sensors.pop();
    expect(other, "2 nodes");
    let long = of(9.0, None, Unit::Samples);
    assert!(go(set(vec![r(4, Labels::Whole(0))]), &long).is_err());
}
