//! The files of a folder: which of the two sets, whose session each is, and whether any are missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Experiment;
use crate::datasets::options::{Accept, check_subjects};
use crate::datasets::{DatasetConfig, about};
use crate::{Error, Result};

/// A file of a session, or of half of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Session {
    pub subject: String,
    pub letter: char,
    /// 0 and 1 in dataset III.
    pub half: usize,
    pub path: PathBuf,
}

/// The folder, which of the two sets it holds, and its sessions in order.
pub(super) fn list(config: &DatasetConfig) -> Result<(PathBuf, Experiment, Vec<Session>)> {
    let data_dir = config.data_dir.as_deref();
    for folder in about::places("mamem", data_dir) {
        let (mut two, mut three) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match session(&entry.path()) {
                Some((Experiment::Two, session)) => two.push(session),
                Some((Experiment::Three, session)) => three.push(session),
                None => {}
            }
        }
        let (experiment, mut sessions) = match (two.is_empty(), three.is_empty()) {
            (true, true) => continue,
            (false, true) => (Experiment::Two, two),
            (true, false) => (Experiment::Three, three),
            (false, false) => {
                return Err(Error::file(
                    &folder,
                    "files",
                    "are of dataset II (T...) and of dataset III (U...)",
                    "keep each in a folder of its own, and name one with --data-dir",
                ));
            }
        };
        sessions.sort();
        let mut of: BTreeMap<String, Vec<Session>> = BTreeMap::new();
        for session in sessions {
            of.entry(session.subject.clone()).or_default().push(session);
        }
        check_subjects(&config.subjects, of.keys())?;
        if !config.subjects.is_empty() {
            of.retain(|subject, _| config.subjects.contains(subject));
        }
        for (subject, sessions) in &of {
            complete(&folder, subject, sessions, experiment, config)?;
        }
        return Ok((folder, experiment, of.into_values().flatten().collect()));
    }
    Err(about::missing(
        "mamem",
        "mamem/T001a.mat or mamem/U001ai.mat",
        data_dir,
    ))
}

/// What a file is, by its name: `T001a.mat`, `U001aii.mat`. The adaptation, `T001x.mat`, is none.
fn session(path: &Path) -> Option<(Experiment, Session)> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".mat")?;
    let (subject, rest) = stem.split_at_checked(4)?;
    let (experiment, number) = match subject.split_at_checked(1)? {
        ("T", number) => (Experiment::Two, number),
        ("U", number) => (Experiment::Three, number),
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let letter = rest
        .chars()
        .next()
        .filter(|c| digits && ('a'..='e').contains(c))?;
    let half = match (experiment, &rest[1..]) {
        (Experiment::Two, "") | (Experiment::Three, "i") => 0,
        (Experiment::Three, "ii") => 1,
        _ => return None,
    };
    let session = Session {
        subject: subject.to_string(),
        letter,
        half,
        path: path.to_path_buf(),
    };
    Some((experiment, session))
}

/// Checks that a subject has all five sessions, in dataset III both halves of each.
fn complete(
    folder: &Path,
    subject: &str,
    sessions: &[Session],
    experiment: Experiment,
    config: &DatasetConfig,
) -> Result<()> {
    let halves: &[(usize, &str)] = match experiment {
        Experiment::Two => &[(0, "")],
        Experiment::Three => &[(0, "i"), (1, "ii")],
    };
    let mut missing = Vec::new();
    for letter in 'a'..='e' {
        for (half, end) in halves {
            let there = |s: &Session| s.letter == letter && s.half == *half;
            if !sessions.iter().any(there) {
                missing.push(format!("{subject}{letter}{end}.mat"));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if config.accepts(Accept::MissingSessions) {
        log::warn!("{}: without {}", folder.display(), missing.join(", "));
        return Ok(());
    }
    Err(Error::file(
        folder,
        subject,
        format!("{} not there", missing.join(", ")),
        Accept::MissingSessions.remedy("fetch them"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let of =
            |name: &str| session(Path::new(name)).map(|(e, s)| (e, s.subject, s.letter, s.half));
        assert_eq!(
            of("a/T001a.mat"),
            Some((Experiment::Two, "T001".into(), 'a', 0))
        );
        assert_eq!(
            of("U011eii.mat"),
            Some((Experiment::Three, "U011".into(), 'e', 1))
        );
        for other in [
            "T001x.mat",
            "S001a.mat",
            "U001a.mat",
            "T001ai.mat",
            "T01a.mat",
            "T001a.txt",
            "é.mat",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
