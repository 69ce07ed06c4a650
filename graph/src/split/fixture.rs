//! Small data sets for tests: four nodes, eight steps, one feature.

use ndarray::Array4;

use super::{Fold, SplitConfig, SplitMethod};
use crate::{Dataset, DatasetInfo};

/// One recording per entry of `classes`, cut into `windows` windows of that class.
pub(crate) fn dataset(classes: &[usize], windows: usize) -> Dataset {
    let samples = classes.len() * windows;
    let names = classes.iter().max().map_or(0, |c| c + 1).max(2);
    Dataset {
        info: DatasetInfo::default(),
        sensors: (0..4).map(|v| format!("node{v}")).collect(),
        positions: None,
        adjacency: None,
        sampling_rate: None,
        x: Array4::from_shape_fn((samples, 4, 8, 1), |(n, v, l, _)| {
            (n * 100 + v * 10 + l) as f32
        })
        .into(),
        mask: None,
        y: (0..samples).map(|n| classes[n / windows]).collect(),
        classes: (0..names).map(|c| format!("class{c}")).collect(),
        recording: (0..samples).map(|n| n / windows).collect(),
        subject: None,
        session: None,
        part: vec![None; samples],
        sources: Vec::new(),
        preparation: Default::default(),
    }
}

/// 40 recordings of 3 windows in 3 classes (20, 12, 8), 5 subjects with 2 sessions each.
pub(crate) fn grouped() -> Dataset {
    let classes: Vec<usize> = (0..40)
        .map(|i| [0, 0, 1, 0, 2, 1, 0, 1, 0, 2][i % 10])
        .collect();
    let mut data = dataset(&classes, 3);
    let subject = |n: usize| format!("subject{:02}", n / 3 / 8);
    let names = 0..data.y.len();
    data.subject = Some(names.clone().map(subject).collect());
    let session = |n: usize| format!("{}/{}", subject(n), n / 3 / 4 % 2);
    data.session = Some(names.map(session).collect());
    data
}

/// Every fifth tests, and validates of the rest.
pub(crate) fn config(method: SplitMethod, folds: Option<usize>, seed: u64) -> SplitConfig {
    SplitConfig {
        method,
        validation_fraction: 0.2,
        test_fraction: 0.2,
        folds,
        seed,
        ..SplitConfig::default()
    }
}

/// Asserts that the parts hold every sample once.
pub(crate) fn covers(fold: &Fold, samples: usize) {
    let mut seen: Vec<usize> = fold.parts().iter().flat_map(|(_, p)| p.to_vec()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..samples).collect::<Vec<_>>(), "{}", fold.name);
}
