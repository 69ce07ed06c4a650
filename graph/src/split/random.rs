//! Splits that draw recordings or whole groups at random.

use super::atoms::Atom;
use super::draw::{By, carve, deal, generator, groups, without};
use super::{Fold, SplitConfig, check_classes};
use crate::{Dataset, Error, Result};

/// Hold-out or k folds of the whole data set.
pub(super) fn split(
    dataset: &Dataset,
    atoms: &[&Atom],
    by: By,
    cfg: &SplitConfig,
) -> Result<Vec<Fold>> {
    split_pool(dataset, atoms, by, cfg, 0, "")
}

/// The same for every subject alone.
pub(super) fn within_subject(
    dataset: &Dataset,
    atoms: &[&Atom],
    cfg: &SplitConfig,
) -> Result<Vec<Fold>> {
    let mut folds = Vec::new();
    for (number, (subject, own)) in groups(atoms, By::Subject)?.into_iter().enumerate() {
        let stream = (number as u64 + 1) << 32;
        folds.extend(split_pool(
            dataset,
            &own,
            By::Recording,
            cfg,
            stream,
            subject,
        )?);
    }
    Ok(folds)
}

/// Hold-out or k folds of `atoms`; `owner` is the subject they all belong to, or empty.
fn split_pool(
    dataset: &Dataset,
    atoms: &[&Atom],
    by: By,
    cfg: &SplitConfig,
    stream: u64,
    owner: &str,
) -> Result<Vec<Fold>> {
    let mut random = generator(cfg.seed, stream);
    let tests = match cfg.folds {
        Some(k) => deal(atoms, by, k, &mut random)?,
        None => {
            let test = carve(atoms, by, cfg.test_fraction, &mut random)?;
            vec![("holdout".to_string(), test)]
        }
    };
    let mut folds = Vec::new();
    for (number, (label, test)) in tests.into_iter().enumerate() {
        let name = match (owner, cfg.folds) {
            ("", _) => label,
            (_, None) => owner.to_string(),
            (_, Some(_)) => format!("{owner}/{label}"),
        };
        let rest = without(atoms, &test);
        let mut random = generator(cfg.seed, stream + 1 + number as u64);
        let validation = carve(&rest, by, cfg.validation_fraction, &mut random)?;
        let train = without(&rest, &validation);
        let fold = Fold::of_atoms(name, [&train, &validation, &test]);
        let strict = by.stratifies();
        check_classes(dataset, &fold, atoms, [true, strict, strict])?;
        check_groups(&fold, dataset, by)?;
        folds.push(fold);
    }
    Ok(folds)
}

fn check_groups(fold: &Fold, dataset: &Dataset, by: By) -> Result<()> {
    let names = match by {
        By::Recording => None,
        By::Subject => dataset.subject.as_ref(),
        By::Session => dataset.session.as_ref(),
    };
    match names.and_then(|names| fold.parted(|sample| &names[sample])) {
        None => Ok(()),
        Some(group) => Err(Error::config(
            format!("fold \"{}\"", fold.name),
            format!("{} \"{group}\" is in more than one part", by.word()),
            "plan the split again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, covers, dataset, grouped};
    use super::super::{SplitMethod, plan};
    use super::*;

    fn recordings_per_class(data: &Dataset, part: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; data.classes.len()];
        for sample in part {
            counts[data.y[*sample]] += 1;
        }
        counts.iter().map(|c| c / 3).collect()
    }

    #[test]
    fn stratified_holdout_is_proportional_for_every_seed() {
        let data = grouped();
        for seed in 0..200 {
            let folds = plan(&data, &config(SplitMethod::Stratified, None, seed)).unwrap();
            assert_eq!((folds.len(), folds[0].name.as_str()), (1, "holdout"));
            covers(&folds[0], 120);
            // 20 % of 20, 12, 8 is 4, 2.4, 1.6: 8 in all; 20 % of the rest is 3.2, 2, 1.2.
            let test = recordings_per_class(&data, &folds[0].test);
            assert_eq!(test, [4, 2, 2]);
            let validation = recordings_per_class(&data, &folds[0].validation);
            assert_eq!(validation, [3, 2, 1]);
        }
    }

    #[test]
    fn stratified_folds_partition_within_one() {
        let data = grouped();
        for seed in 0..100 {
            for k in [2, 3, 5, 7] {
                let folds = plan(&data, &config(SplitMethod::Stratified, Some(k), seed)).unwrap();
                let mut tested = Vec::new();
                for fold in &folds {
                    covers(fold, 120);
                    let counts = recordings_per_class(&data, &fold.test);
                    for (count, all) in counts.iter().zip([20, 12, 8]) {
                        assert!(*count == all / k || *count == all.div_ceil(k));
                    }
                    let size = fold.test.len() / 3;
                    assert!(size == 40 / k || size == 40usize.div_ceil(k));
                    tested.extend(fold.test.clone());
                }
                tested.sort_unstable();
                assert_eq!(tested, (0..120).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn seeds_decide_and_only_they() {
        let data = grouped();
        let test = |seed| plan(&data, &config(SplitMethod::Stratified, None, seed)).unwrap();
        assert_eq!(test(1), test(1));
        assert_ne!(test(1), test(2));
    }

    #[test]
    fn groups_never_part() {
        let data = grouped();
        let subjects = data.subject.clone().unwrap();
        let sessions = data.session.clone().unwrap();
        for seed in 0..100 {
            for (method, names, most) in [
                (SplitMethod::GroupSubject, &subjects, 5),
                (SplitMethod::GroupSession, &sessions, 10),
            ] {
                for folds in [None, Some(2), Some(most)] {
                    let folds = plan(&data, &config(method, folds, seed)).unwrap();
                    for fold in &folds {
                        covers(fold, 120);
                        assert!(!fold.validation.is_empty() && !fold.test.is_empty());
                        assert_eq!(fold.parted(|sample| &names[sample]), None);
                    }
                }
            }
        }
    }

    #[test]
    fn leave_one_out_is_named_after_the_one() {
        let data = grouped();
        let folds = plan(&data, &config(SplitMethod::GroupSubject, Some(5), 0)).unwrap();
        let names: Vec<&str> = folds.iter().map(|f| f.name.as_str()).collect();
        let want = [
            "subject00",
            "subject01",
            "subject02",
            "subject03",
            "subject04",
        ];
        assert_eq!(names, want);
        assert_eq!(folds[3].test, (72..96).collect::<Vec<_>>());
        let message = plan(&data, &config(SplitMethod::GroupSubject, Some(6), 0)).unwrap_err();
        assert!(message.to_string().contains("at most 5"), "{message}");
    }

    #[test]
    fn folds_of_groups_balance_samples() {
        // Subjects of 1, 1, 2, 4 recordings in two folds: 4 and 4.
        let mut data = dataset(&[0, 1, 0, 1, 0, 1, 0, 1], 3);
        let owner = |n: usize| ["a", "b", "c", "c", "d", "d", "d", "d"][n / 3].to_string();
        data.subject = Some((0..24).map(owner).collect());
        let cfg = SplitConfig {
            validation_fraction: 0.0,
            ..config(SplitMethod::GroupSubject, Some(2), 5)
        };
        let folds = plan(&data, &cfg).unwrap();
        assert_eq!((folds[0].test.len(), folds[1].test.len()), (12, 12));
    }

    #[test]
    fn within_subject_stays_inside() {
        // Five recordings of each of two classes for each of three subjects.
        let classes: Vec<usize> = (0..30).map(|i| i % 2).collect();
        let mut data = dataset(&classes, 2);
        data.subject = Some((0..60).map(|n| format!("s{}", n / 20)).collect());
        for seed in 0..50 {
            let folds = plan(&data, &config(SplitMethod::WithinSubject, Some(5), seed)).unwrap();
            assert_eq!(folds.len(), 15);
            assert_eq!(folds[6].name, "s1/fold2");
            let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
            tested.sort_unstable();
            assert_eq!(tested, (0..60).collect::<Vec<_>>());
            for (number, fold) in folds.iter().enumerate() {
                let own = number / 5 * 20..number / 5 * 20 + 20;
                for (_, part) in fold.parts() {
                    assert!(part.iter().all(|s| own.contains(s)));
                }
                // 1 of 5 recordings per class tests, 20 % of the other 4, so 1, validates.
                let sizes = [fold.train.len(), fold.validation.len(), fold.test.len()];
                assert_eq!(sizes, [12, 4, 4]);
            }
        }
        let single = plan(&data, &config(SplitMethod::WithinSubject, None, 0)).unwrap();
        let names: Vec<&str> = single.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["s0", "s1", "s2"]);
    }

    #[test]
    fn subjects_are_drawn_apart() {
        let classes: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let mut data = dataset(&classes, 1);
        data.subject = Some((0..40).map(|n| format!("s{}", n / 20)).collect());
        let folds = plan(&data, &config(SplitMethod::WithinSubject, None, 0)).unwrap();
        let moved: Vec<usize> = folds[0].train.iter().map(|s| s + 20).collect();
        assert_ne!(folds[1].train, moved);
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |data: &Dataset, method, folds| {
            plan(data, &config(method, folds, 0))
                .unwrap_err()
                .to_string()
        };
        let plain = dataset(&[0, 1, 0, 1, 0, 1], 2);
        assert!(message(&plain, SplitMethod::GroupSubject, None).contains("names no subjects"));
        assert!(message(&plain, SplitMethod::GroupSession, None).contains("names no sessions"));
        assert!(message(&plain, SplitMethod::WithinSubject, None).contains("names no subjects"));
        assert!(message(&plain, SplitMethod::Given, None).contains("6 have no part"));
        let many = message(&plain, SplitMethod::Stratified, Some(4));
        assert!(
            many.contains("absent from") && many.contains("3 of 6 recordings"),
            "{many}"
        );
        let few = message(&plain, SplitMethod::Stratified, Some(9));
        assert!(few.contains("9 folds of 6 recordings"), "{few}");
        let rare = dataset(&[0, 0, 0, 0, 0, 1], 2);
        let rare = message(&rare, SplitMethod::Stratified, None);
        assert!(rare.contains("\"class1\" is absent from"), "{rare}");
    }

    #[test]
    fn fractions_of_zero_leave_parts_empty() {
        let cfg = SplitConfig {
            validation_fraction: 0.0,
            test_fraction: 0.0,
            ..SplitConfig::default()
        };
        let fold = plan(&grouped(), &cfg).unwrap().remove(0);
        assert_eq!(fold.train.len(), 120);
    }
}
