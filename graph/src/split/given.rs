//! The parts the authors of a data set gave.

use super::atoms::Atom;
use super::draw::{By, carve, deal, generator, groups, without};
use super::{Fold, SplitConfig, check_classes};
use crate::{Dataset, Error, Part, Result};

/// The authors' parts; see [`SplitMethod::Given`](super::SplitMethod::Given).
pub(super) fn split(dataset: &Dataset, atoms: &[&Atom], cfg: &SplitConfig) -> Result<Vec<Fold>> {
    let of = |part: Part| -> Vec<&Atom> {
        let members = atoms.iter().filter(|a| a.part == Some(part));
        members.copied().collect()
    };
    let (train, validation, test) = (of(Part::Train), of(Part::Validation), of(Part::Test));
    let without_part = atoms.len() - train.len() - validation.len() - test.len();
    if without_part > 0 || train.is_empty() || test.is_empty() {
        return Err(Error::config(
            "split.method",
            format!(
                "\"given\", but of {} recordings {} are for training, {} for test and \
                 {without_part} have no part",
                atoms.len(),
                train.len(),
                test.len()
            ),
            "use \"stratified\", \"group-subject\" or another method",
        ));
    }
    let mut pool = train.clone();
    if cfg.folds.is_some() {
        pool.extend(&validation);
    }
    let by = separated(&pool, &test)?;
    let mut random = generator(cfg.seed, 0);
    let validations = match cfg.folds {
        Some(k) => deal(&pool, by, k, &mut random)?,
        None if validation.is_empty() => {
            let carved = carve(&pool, by, cfg.validation_fraction, &mut random)?;
            vec![("holdout".to_string(), carved)]
        }
        None => vec![("holdout".to_string(), validation.clone())],
    };
    let carved = cfg.folds.is_some() || validation.is_empty();
    let mut folds = Vec::new();
    for (name, validation) in validations {
        let train = without(&pool, &validation);
        let fold = Fold::of_atoms(name, [&train, &validation, &test]);
        let strict = carved && by.stratifies();
        check_classes(dataset, &fold, atoms, [true, strict, false])?;
        folds.push(fold);
    }
    Ok(folds)
}

/// The widest unit that keeps `pool` and `test` apart and of which `pool` has at least two.
fn separated(pool: &[&Atom], test: &[&Atom]) -> Result<By> {
    for by in [By::Subject, By::Session] {
        let (Ok(own), Ok(other)) = (groups(pool, by), groups(test, by)) else {
            continue;
        };
        if own.len() >= 2 && own.keys().all(|name| !other.contains_key(name)) {
            return Ok(by);
        }
    }
    Ok(By::Recording)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, covers, grouped};
    use super::super::{SplitMethod, plan};
    use super::*;

    /// `grouped`, with the last subject (samples 96..120) as the authors' test part.
    fn with_parts() -> Dataset {
        let mut data = grouped();
        let part = |n: usize| Some(if n < 96 { Part::Train } else { Part::Test });
        data.part = (0..120).map(part).collect();
        data
    }

    #[test]
    fn given_parts_are_kept_and_validation_follows_their_manner() {
        let data = with_parts();
        let subjects = data.subject.clone().unwrap();
        for seed in 0..50 {
            let fold = plan(&data, &config(SplitMethod::Given, None, seed))
                .unwrap()
                .remove(0);
            covers(&fold, 120);
            assert_eq!(fold.test, (96..120).collect::<Vec<_>>());
            // The authors kept subjects apart: one whole subject of four validates.
            assert_eq!(fold.validation.len(), 24);
            assert_eq!(fold.parted(|sample| &subjects[sample]), None);
        }
        // Subjects on both sides of the test part, sessions not: whole sessions validate.
        let mut data = with_parts();
        let part = |n: usize| Some(if n % 24 < 12 { Part::Train } else { Part::Test });
        data.part = (0..120).map(part).collect();
        let fold = plan(&data, &config(SplitMethod::Given, None, 0))
            .unwrap()
            .remove(0);
        assert_eq!(fold.validation.len(), 12);
        // Neither: stratified recordings.
        let part = |n: usize| {
            Some(if n / 3 % 4 < 3 {
                Part::Train
            } else {
                Part::Test
            })
        };
        data.part = (0..120).map(part).collect();
        let fold = plan(&data, &config(SplitMethod::Given, None, 0))
            .unwrap()
            .remove(0);
        assert_eq!(fold.validation.len(), 18);
    }

    #[test]
    fn given_validation_is_kept_unless_folds_are_asked_for() {
        let mut data = with_parts();
        data.part[..24].fill(Some(Part::Validation));
        let fold = plan(&data, &config(SplitMethod::Given, None, 0))
            .unwrap()
            .remove(0);
        assert_eq!(fold.validation, (0..24).collect::<Vec<_>>());
        let folds = plan(&data, &config(SplitMethod::Given, Some(4), 0)).unwrap();
        let mut validated: Vec<usize> = Vec::new();
        for fold in &folds {
            covers(fold, 120);
            assert_eq!(fold.test, (96..120).collect::<Vec<_>>());
            validated.extend(fold.validation.clone());
        }
        validated.sort_unstable();
        assert_eq!(validated, (0..96).collect::<Vec<_>>());
    }
}
