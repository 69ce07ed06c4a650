//! Which samples train, which choose, which test.
//!
//! The atom of every split is the recording: windows of one recording overlap or touch, so they
//! never part. [`plan`] is a pure function of the data set and a [`SplitConfig`]; it refuses splits
//! that leak or leave a class without samples to learn from.

mod atoms;
mod chronological;
mod draw;
mod given;
mod random;

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Part, Result};
use atoms::{Atom, atoms};
use draw::By;

/// How to split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// The rule.
    pub method: SplitMethod,
    /// Share of what is not test that is set aside for validation, in [0, 1); 0 for none.
    pub validation_fraction: f64,
    /// Share that is set aside for testing, in [0, 1); 0 for none. Not used with `folds`, nor by
    /// `given`.
    pub test_fraction: f64,
    /// Number of folds, at least 2; a single hold-out split when absent.
    pub folds: Option<usize>,
    /// Windows left out before each boundary that `chronological` draws inside a recording. With
    /// windows of `length` steps every `stride` steps, ⌈length / stride⌉ − 1 leaves no overlap.
    pub gap: usize,
    /// Seed of what is drawn at random.
    pub seed: u64,
}

impl Default for SplitConfig {
    /// Stratified, 15 % test, 15 % of the rest validation, no folds, seed 0.
    fn default() -> Self {
        Self {
            method: SplitMethod::Stratified,
            validation_fraction: 0.15,
            test_fraction: 0.15,
            folds: None,
            gap: 0,
            seed: 0,
        }
    }
}

impl SplitConfig {
    /// The defaults with the method that suits a data set: `given` when its authors name a test
    /// part, else `group-subject` from three subjects, else `stratified`; `chronological` when
    /// there are fewer than three recordings.
    pub fn for_dataset(dataset: &Dataset) -> Self {
        let distinct = |names: &[String]| {
            let mut names: Vec<&String> = names.iter().collect();
            names.sort();
            names.dedup();
            names.len()
        };
        let mut recordings = dataset.recording.clone();
        recordings.sort_unstable();
        recordings.dedup();
        let method = if dataset.part.contains(&Some(Part::Test)) {
            SplitMethod::Given
        } else if dataset.subject.as_deref().map_or(0, distinct) >= 3 {
            SplitMethod::GroupSubject
        } else if recordings.len() >= 3 {
            SplitMethod::Stratified
        } else {
            SplitMethod::Chronological
        };
        Self {
            method,
            ..Self::default()
        }
    }
}

/// The rule of a split. A recording counts as of the class most frequent among its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitMethod {
    /// The parts the authors of the data gave. Where they gave no validation part, it is carved
    /// from their training part the way they made the test part: whole subjects if no subject is
    /// in both, else whole sessions if no session is, else recordings stratified by class.
    ///
    /// With `folds` their training and validation parts together are cut into k parts in that same
    /// way, each the validation part of one fold; the test part is always theirs.
    Given,
    /// Recordings drawn per class: each part has every class in proportion, within one recording.
    Stratified,
    /// Whole subjects. Leave-one-out when `folds` is the number of subjects; a fold is then named
    /// after its test subject.
    GroupSubject,
    /// Whole sessions; likewise.
    GroupSession,
    /// Training before validation before test, in the order of the samples. Boundaries fall
    /// between recordings; when there are fewer recordings than parts they fall inside them, with
    /// `gap`. With `folds` the origin rolls (forward chaining): k + 1 blocks, fold i tests on block
    /// i + 1 and learns from all blocks before it, so that the first block is never tested.
    Chronological,
    /// For every subject a stratified split inside that subject alone: training, validation and
    /// test all come from it. With one session per subject this is the within-session evaluation
    /// of MOABB. Folds are named `subject03/fold2`, or `subject03` without `folds`.
    WithinSubject,
}

impl SplitMethod {
    /// The word used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Stratified => "stratified",
            Self::GroupSubject => "group-subject",
            Self::GroupSession => "group-session",
            Self::Chronological => "chronological",
            Self::WithinSubject => "within-subject",
        }
    }
}

/// One way to train and test: sorted, disjoint sample indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// `holdout`, `fold1`, `subject03`, `subject03/fold1`.
    pub name: String,
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

impl Fold {
    fn new(name: impl Into<String>, parts: [Vec<usize>; 3]) -> Self {
        let [train, validation, test] = parts.map(|mut part| {
            part.sort_unstable();
            part
        });
        Self {
            name: name.into(),
            train,
            validation,
            test,
        }
    }

    fn of_atoms(name: impl Into<String>, parts: [&[&Atom]; 3]) -> Self {
        let samples = |atoms: &[&Atom]| atoms.iter().flat_map(|a| a.samples.clone()).collect();
        Self::new(name, parts.map(samples))
    }

    /// The three parts with their names.
    pub fn parts(&self) -> [(&'static str, &[usize]); 3] {
        [
            ("train", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ]
    }

    /// Checks for leaks: indices exist, are sorted, and are in one part only; there is something to
    /// train on; no recording has windows in two parts, unless all of training lies before all of
    /// validation and that before all of test.
    ///
    /// # Errors
    /// Naming the fold and the first sample or recording at fault.
    pub fn verify(&self, dataset: &Dataset) -> Result<()> {
        let fault = |problem: String| {
            Error::config(
                format!("fold \"{}\"", self.name),
                problem,
                "plan the split again",
            )
        };
        let samples = dataset.y.len();
        if self.train.is_empty() {
            return Err(fault("there is no sample to train on".to_string()));
        }
        let mut part_of: Vec<Option<&str>> = vec![None; samples];
        for (name, part) in self.parts() {
            if let Some(pair) = part.windows(2).find(|w| w[0] >= w[1]) {
                return Err(fault(format!(
                    "{name}: sample {} after {}, indices are not sorted",
                    pair[1], pair[0]
                )));
            }
            for &sample in part {
                match part_of.get_mut(sample) {
                    None => {
                        return Err(fault(format!("{name}: sample {sample} of {samples}")));
                    }
                    Some(Some(other)) => {
                        return Err(fault(format!("sample {sample} is in {other} and {name}")));
                    }
                    Some(free) => *free = Some(name),
                }
            }
        }
        if self.is_in_order() {
            return Ok(());
        }
        match self.parted(|sample| dataset.recording[sample]) {
            Some(recording) => Err(fault(format!(
                "windows of recording {recording} are in more than one part"
            ))),
            None => Ok(()),
        }
    }

    /// Whether every training sample comes before every validation sample, and so on.
    fn is_in_order(&self) -> bool {
        let filled: Vec<&[usize]> = self
            .parts()
            .into_iter()
            .map(|(_, part)| part)
            .filter(|part| !part.is_empty())
            .collect();
        filled.windows(2).all(|w| w[0][w[0].len() - 1] < w[1][0])
    }

    /// A value of `key` that samples of two different parts share.
    fn parted<K: Hash + Eq>(&self, key: impl Fn(usize) -> K) -> Option<K> {
        let mut home: HashMap<K, usize> = HashMap::new();
        for (number, (_, part)) in self.parts().into_iter().enumerate() {
            for &sample in part {
                if *home.entry(key(sample)).or_insert(number) != number {
                    return Some(key(sample));
                }
            }
        }
        None
    }
}

/// The folds of a data set.
///
/// Every fold passes [`Fold::verify`]. Together the test parts of `stratified` and `group-*` with
/// `folds` cover every sample exactly once, those of `within-subject` every sample once too.
///
/// # Errors
/// When the data lack what the method needs (parts, subjects, sessions, enough recordings), a
/// fraction or number of folds is out of range, a class would be absent from training, or, where
/// the method stratifies, from validation or test.
pub fn plan(dataset: &Dataset, cfg: &SplitConfig) -> Result<Vec<Fold>> {
    check_config(cfg)?;
    let atoms = atoms(dataset)?;
    let all: Vec<&Atom> = atoms.iter().collect();
    let folds = match cfg.method {
        SplitMethod::Given => given::split(dataset, &all, cfg)?,
        SplitMethod::Stratified => random::split(dataset, &all, By::Recording, cfg)?,
        SplitMethod::GroupSubject => random::split(dataset, &all, By::Subject, cfg)?,
        SplitMethod::GroupSession => random::split(dataset, &all, By::Session, cfg)?,
        SplitMethod::WithinSubject => random::within_subject(dataset, &all, cfg)?,
        SplitMethod::Chronological => {
            let folds = chronological::split(&all, cfg)?;
            for fold in &folds {
                check_classes(dataset, fold, &all, [true, false, false])?;
            }
            folds
        }
    };
    for fold in &folds {
        fold.verify(dataset)?;
    }
    Ok(folds)
}

fn check_config(cfg: &SplitConfig) -> Result<()> {
    for (field, value) in [
        ("split.validation_fraction", cfg.validation_fraction),
        ("split.test_fraction", cfg.test_fraction),
    ] {
        if !(0.0..1.0).contains(&value) {
            return Err(Error::config(
                field,
                format!("{value} is outside [0, 1)"),
                "give a share such as 0.15",
            ));
        }
    }
    match cfg.folds {
        Some(k) if k < 2 => Err(Error::config(
            "split.folds",
            format!("{k} folds"),
            "give at least 2, or leave it out for a single split",
        )),
        _ => Ok(()),
    }
}

/// Checks that every class that occurs in `pool` occurs in the parts marked in `demanded` (train,
/// validation, test), and warns of the others. Empty parts are left alone.
fn check_classes(
    dataset: &Dataset,
    fold: &Fold,
    pool: &[&Atom],
    demanded: [bool; 3],
) -> Result<()> {
    let count = dataset.classes.len();
    let mut expected = vec![false; count];
    for sample in pool.iter().flat_map(|a| &a.samples) {
        expected[dataset.y[*sample]] = true;
    }
    for ((part, samples), demanded) in fold.parts().into_iter().zip(demanded) {
        if samples.is_empty() {
            continue;
        }
        let mut present = vec![false; count];
        for sample in samples {
            present[dataset.y[*sample]] = true;
        }
        let Some(class) = (0..count).find(|c| expected[*c] && !present[*c]) else {
            continue;
        };
        let holders = pool
            .iter()
            .filter(|a| a.samples.iter().any(|s| dataset.y[*s] == class))
            .count();
        let problem = format!(
            "fold \"{}\": class \"{}\" is absent from {part} (it occurs in {holders} of {} \
             recordings)",
            fold.name,
            dataset.classes[class],
            pool.len()
        );
        if demanded {
            return Err(Error::config(
                "split",
                problem,
                "use fewer folds, larger fractions, another seed or method, or merge rare classes",
            ));
        }
        log::warn!("{problem}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fixture::dataset;
    use super::*;

    fn fold(train: &[usize], validation: &[usize], test: &[usize]) -> Fold {
        Fold {
            name: "f".to_string(),
            train: train.to_vec(),
            validation: validation.to_vec(),
            test: test.to_vec(),
        }
    }

    #[test]
    fn leaks_are_found() {
        // Recordings 0 1 2 3 of two windows each.
        let data = dataset(&[0, 1, 0, 1], 2);
        fold(&[4, 5, 6, 7], &[0, 1], &[2, 3]).verify(&data).unwrap();
        for (bad, word) in [
            (fold(&[4, 5, 7], &[0, 1], &[2, 3, 6]), "recording 3"),
            (fold(&[4, 5, 6], &[0, 1], &[1]), "sample 1 is in validation"),
            (fold(&[5, 4], &[], &[]), "sorted"),
            (fold(&[8], &[], &[]), "sample 8 of 8"),
            (fold(&[], &[], &[1]), "train on"),
        ] {
            let message = bad.verify(&data).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_recording_may_be_cut_in_time() {
        let data = dataset(&[0], 10);
        fold(&[0, 1, 2], &[4, 5], &[8, 9]).verify(&data).unwrap();
        assert!(fold(&[0, 1, 2, 7], &[4, 5], &[8, 9]).verify(&data).is_err());
    }

    #[test]
    fn configuration_round_trip_and_strictness() {
        let text = "method = \"within-subject\"\nfolds = 5\nseed = 3\n";
        let cfg: SplitConfig = toml::from_str(text).unwrap();
        assert_eq!(cfg.method, SplitMethod::WithinSubject);
        assert_eq!((cfg.folds, cfg.validation_fraction), (Some(5), 0.15));
        let back: SplitConfig = toml::from_str(&toml::to_string(&cfg).unwrap()).unwrap();
        assert_eq!(back, cfg);
        assert!(toml::from_str::<SplitConfig>("fold = 5").is_err());
        assert!(toml::from_str::<SplitConfig>("method = \"stratified_\"").is_err());
        for method in [
            SplitMethod::Given,
            SplitMethod::Stratified,
            SplitMethod::GroupSubject,
            SplitMethod::GroupSession,
            SplitMethod::Chronological,
            SplitMethod::WithinSubject,
        ] {
            let written = serde_json::to_string(&method).unwrap();
            assert_eq!(written, format!("\"{}\"", method.name()));
        }
    }

    #[test]
    fn ranges_are_checked() {
        let data = dataset(&[0, 1, 0, 1], 1);
        let plan_with = |change: fn(&mut SplitConfig)| {
            let mut cfg = SplitConfig::default();
            change(&mut cfg);
            plan(&data, &cfg)
        };
        assert!(plan_with(|c| c.test_fraction = 1.0).is_err());
        assert!(plan_with(|c| c.validation_fraction = -0.1).is_err());
        assert!(plan_with(|c| c.validation_fraction = f64::NAN).is_err());
        assert!(plan_with(|c| c.folds = Some(1)).is_err());
    }

    #[test]
    fn method_follows_the_data() {
        let mut data = dataset(&[0, 1, 0, 1], 1);
        let method = |data: &Dataset| SplitConfig::for_dataset(data).method;
        assert_eq!(method(&data), SplitMethod::Stratified);
        data.subject = Some(["a", "b", "c", "c"].map(str::to_string).to_vec());
        assert_eq!(method(&data), SplitMethod::GroupSubject);
        data.part[3] = Some(Part::Test);
        assert_eq!(method(&data), SplitMethod::Given);
        assert_eq!(method(&dataset(&[0], 8)), SplitMethod::Chronological);
    }
}
