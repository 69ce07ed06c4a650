//! Drawing recordings and groups: a share of them, or all of them in k parts.

use std::collections::{BTreeMap, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::atoms::Atom;
use crate::{Error, Result};

/// What stays together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Each recording on its own, drawn per class.
    Recording,
    Subject,
    Session,
}

impl By {
    /// Whether validation and test are meant to hold every class.
    pub fn stratifies(self) -> bool {
        self == Self::Recording
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Subject => "subject",
            Self::Session => "session",
        }
    }

    fn group(self, atom: &Atom) -> Result<&str> {
        let name = match self {
            Self::Recording => Some(""),
            Self::Subject => atom.subject.as_deref(),
            Self::Session => atom.session.as_deref(),
        };
        name.ok_or_else(|| {
            Error::config(
                "split.method",
                format!("the data set names no {}s", self.word()),
                "use \"stratified\", \"given\" or \"chronological\", or add the names to the data",
            )
        })
    }
}

/// Sets aside a share of `atoms`: of each class, or of the groups.
pub(super) fn carve<'a>(
    atoms: &[&'a Atom],
    by: By,
    fraction: f64,
    random: &mut ChaCha8Rng,
) -> Result<Vec<&'a Atom>> {
    if fraction == 0.0 {
        return Ok(Vec::new());
    }
    if by == By::Recording {
        let mut taken = Vec::new();
        let classes = classes(atoms);
        for (mut members, count) in classes.iter().cloned().zip(shares(&classes, fraction)) {
            members.shuffle(random);
            members.truncate(count);
            taken.extend(members);
        }
        return Ok(taken);
    }
    let mut groups: Vec<Vec<&Atom>> = groups(atoms, by)?.into_values().collect();
    if groups.len() < 2 {
        return Err(Error::config(
            "split.method",
            format!("{} {} left to divide in two", groups.len(), by.word()),
            "use fewer folds, a validation_fraction of 0, or \"stratified\"",
        ));
    }
    groups.shuffle(random);
    let count = (fraction * groups.len() as f64).round() as usize;
    groups.truncate(count.clamp(1, groups.len() - 1));
    Ok(groups.into_iter().flatten().collect())
}

/// How many of each class make up `fraction`: exact shares rounded down, what is missing from the
/// total given to the largest remainders, and at least one of each.
fn shares(classes: &[Vec<&Atom>], fraction: f64) -> Vec<usize> {
    let exact: Vec<f64> = classes.iter().map(|m| fraction * m.len() as f64).collect();
    let mut counts: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let total = exact.iter().sum::<f64>().round() as usize;
    let missing = total.saturating_sub(counts.iter().sum());
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    for &class in order.iter().take(missing) {
        counts[class] += 1;
    }
    counts.into_iter().map(|c| c.max(1)).collect()
}

/// Cuts `atoms` into `k` named parts: dealt class by class, or group by group to the part with the
/// fewest samples.
pub(super) fn deal<'a>(
    atoms: &[&'a Atom],
    by: By,
    k: usize,
    random: &mut ChaCha8Rng,
) -> Result<Vec<(String, Vec<&'a Atom>)>> {
    let mut parts: Vec<(String, Vec<&Atom>)> = (1..=k)
        .map(|number| (format!("fold{number}"), Vec::new()))
        .collect();
    if by == By::Recording {
        if atoms.len() < k {
            return Err(Error::config(
                "split.folds",
                format!("{k} folds of {} recordings", atoms.len()),
                "use fewer folds, or \"chronological\", which cuts inside recordings",
            ));
        }
        // The hand goes on where the last class ended: sizes of parts differ by one at most.
        let mut hand = 0;
        for mut members in classes(atoms) {
            members.shuffle(random);
            for atom in members {
                parts[hand % k].1.push(atom);
                hand += 1;
            }
        }
        return Ok(parts);
    }
    let mut groups: Vec<(&str, Vec<&Atom>)> = groups(atoms, by)?.into_iter().collect();
    if groups.len() < k {
        return Err(Error::config(
            "split.folds",
            format!("{k} folds of {} {}s", groups.len(), by.word()),
            format!("give at most {}", groups.len()),
        ));
    }
    let one_each = groups.len() == k;
    let size = |members: &[&Atom]| members.iter().map(|a| a.samples.len()).sum::<usize>();
    if one_each {
        for (part, (name, members)) in parts.iter_mut().zip(groups) {
            *part = (name.to_string(), members);
        }
        return Ok(parts);
    }
    groups.shuffle(random);
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(size(members)));
    for (_, members) in groups {
        let lightest = parts.iter_mut().min_by_key(|(_, part)| size(part));
        if let Some((_, part)) = lightest {
            part.extend(members);
        }
    }
    Ok(parts)
}

/// Recordings of each class that occurs, by class index.
fn classes<'a>(atoms: &[&'a Atom]) -> Vec<Vec<&'a Atom>> {
    let mut classes: BTreeMap<usize, Vec<&Atom>> = BTreeMap::new();
    for atom in atoms {
        classes.entry(atom.class).or_default().push(atom);
    }
    classes.into_values().collect()
}

pub(super) fn groups<'a>(atoms: &[&'a Atom], by: By) -> Result<BTreeMap<&'a str, Vec<&'a Atom>>> {
    let mut groups: BTreeMap<&str, Vec<&Atom>> = BTreeMap::new();
    for atom in atoms {
        groups.entry(by.group(atom)?).or_default().push(atom);
    }
    Ok(groups)
}

/// `atoms` less those in `taken`, in order.
pub(super) fn without<'a>(atoms: &[&'a Atom], taken: &[&Atom]) -> Vec<&'a Atom> {
    let first: HashSet<usize> = taken.iter().map(|a| a.samples[0]).collect();
    let rest = atoms.iter().filter(|a| !first.contains(&a.samples[0]));
    rest.copied().collect()
}

/// Generators of one seed whose streams do not touch.
pub(super) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

#[cfg(test)]
mod tests {
    use super::super::atoms::atoms;
    use super::super::fixture::dataset;
    use super::*;

    #[test]
    fn shares_add_up_and_leave_no_class_out() {
        let counts = |sizes: &[usize], fraction: f64| {
            let labels: Vec<usize> = sizes
                .iter()
                .enumerate()
                .flat_map(|(class, size)| vec![class; *size])
                .collect();
            let atoms = atoms(&dataset(&labels, 1)).unwrap();
            let all: Vec<&Atom> = atoms.iter().collect();
            shares(&classes(&all), fraction)
        };
        // 2.5 each: 10 in all, the remainders go to the first two.
        assert_eq!(counts(&[10, 10, 10, 10], 0.25), [3, 3, 2, 2]);
        // 4, 2.4, 1.6: 8 in all.
        assert_eq!(counts(&[20, 12, 8], 0.2), [4, 2, 2]);
        // 9.8 and 0.2: the rare class gets one nevertheless.
        assert_eq!(counts(&[98, 2], 0.1), [10, 1]);
    }

    #[test]
    fn streams_differ() {
        use rand::RngExt;
        let first = |seed, stream| generator(seed, stream).random::<u64>();
        assert_ne!(first(0, 0), first(0, 1));
        assert_ne!(first(0, 0), first(1, 0));
        assert_eq!(first(3, 4), first(3, 4));
    }
}
