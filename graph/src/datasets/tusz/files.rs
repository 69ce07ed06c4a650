//! Which files there are, and whose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::options::{Accept, check_subjects};
use super::super::parts::Parts;
use super::super::{DatasetConfig, about};
use crate::{Error, Part, Result};

/// A recording of the corpus.
#[derive(Debug, Clone)]
pub(super) struct EdfFile {
    pub path: PathBuf,
    pub subject: String,
    pub session: String,
    pub part: Option<Part>,
}

/// Folders of parts; `dev_test` is `dev` of v1.5.0.
const PARTS: [&str; 4] = ["train", "dev", "dev_test", "eval"];

/// Folders below a part that are looked into: montage, group, patient, session.
const DEPTH: usize = 6;

/// The folder `edf`, its files in order, and the table of parts where one is used.
pub(super) fn list(config: &DatasetConfig) -> Result<(PathBuf, Vec<EdfFile>, Option<PathBuf>)> {
    let root = root(config.data_dir.as_deref())?;
    let present: Vec<&str> = PARTS
        .into_iter()
        .filter(|p| root.join(p).is_dir())
        .collect();
    let mut files = Vec::new();
    for part in &present {
        let mut paths = Vec::new();
        walk(&root.join(part), DEPTH, &mut paths)?;
        paths.sort();
        for path in paths {
            let (subject, session) = whose(&path)?;
            let part = match *part {
                "train" => Part::Train,
                "eval" => Part::Test,
                _ if present.contains(&"eval") => Part::Validation,
                _ => Part::Test,
            };
            files.push(EdfFile {
                path,
                subject,
                session,
                part: Some(part),
            });
        }
    }
    if files.is_empty() {
        return Err(Error::file(
            &root,
            "edf",
            format!("no .edf file below {}", present.join(", ")),
            about::how("tusz"),
        ));
    }
    keep(&mut files, &config.subjects)?;
    let split_file = config.split_file.as_ref().map(|f| root.join(f));
    match &split_file {
        Some(path) => {
            let parts = Parts::read(path)?;
            for file in &mut files {
                file.part = Some(parts.part(&file.subject)?);
            }
        }
        None => one_part_each(&root, &mut files, config)?,
    }
    Ok((root, files, split_file))
}

/// The folder with `train`, `dev` and perhaps `eval`.
fn root(data_dir: Option<&Path>) -> Result<PathBuf> {
    let is_root = |folder: &PathBuf| PARTS.iter().any(|p| folder.join(p).is_dir());
    for base in about::places("tusz", data_dir) {
        let mut found: Vec<PathBuf> = [base.join("edf"), base.clone()].into();
        let versions = std::fs::read_dir(&base).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = versions
            .filter(|e| e.file_name().to_string_lossy().starts_with('v'))
            .map(|e| e.path().join("edf"))
            .collect();
        versions.sort();
        found.extend(versions);
        found.retain(is_root);
        match &found[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            [one, other, ..] => {
                return Err(Error::config(
                    "data_dir",
                    format!("both {} and {} are there", one.display(), other.display()),
                    "name the folder of one version",
                ));
            }
        }
    }
    Err(about::missing("tusz", "tusz/edf/train", data_dir))
}

/// All EDF files below a folder.
fn walk(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("edf"))
        {
            out.push(path);
        } else if depth > 0 && path.is_dir() {
            walk(&path, depth - 1, out)?;
        }
    }
    Ok(())
}

/// Subject and session of a file, out of its name: `00000258_s002_t000.edf`.
fn whose(path: &Path) -> Result<(String, String)> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut words = stem.split('_');
    let numbered = |word: Option<&str>, letter: char| {
        let word = word?;
        let digits = word.strip_prefix(letter)?;
        let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        all.then(|| word.to_string())
    };
    let subject = words.next().filter(|w| !w.is_empty()).map(String::from);
    let session = numbered(words.next(), 's');
    let token = numbered(words.next(), 't');
    match (subject, session, token, words.next()) {
        (Some(subject), Some(session), Some(_), None) => Ok((subject, session)),
        _ => Err(Error::file(
            path,
            "name",
            "is not SUBJECT_sNNN_tNNN.edf",
            "keep the names of the corpus, and other files out of its folder",
        )),
    }
}

fn keep(files: &mut Vec<EdfFile>, subjects: &[String]) -> Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<String> = files.iter().map(|f| f.subject.clone()).collect();
    check_subjects(subjects, &known)?;
    files.retain(|f| subjects.contains(&f.subject));
    Ok(())
}

/// Sees to it that no subject is in two parts.
fn one_part_each(root: &Path, files: &mut Vec<EdfFile>, config: &DatasetConfig) -> Result<()> {
    let order = [Part::Train, Part::Validation, Part::Test];
    let rank = |part: Option<Part>| order.iter().position(|p| Some(*p) == part);
    let mut first: BTreeMap<String, Option<usize>> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for file in files.iter() {
        let rank = rank(file.part);
        let known = first.entry(file.subject.clone()).or_insert(rank);
        if *known != rank {
            shared.insert(file.subject.clone());
            *known = (*known).min(rank);
        }
    }
    if shared.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = shared.iter().map(String::as_str).collect();
    if !config.accepts(Accept::SharedSubjects) {
        return Err(Error::file(
            root,
            "subjects",
            format!("{} are in more than one of its folders", names.join(", ")),
            Accept::SharedSubjects.remedy("give the parts with split_file"),
        ));
    }
    log::warn!(
        "{}: left out of the later part: {}",
        root.display(),
        names.join(", ")
    );
    files.retain(|f| first.get(&f.subject) == Some(&rank(f.part)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let of = |name: &str| whose(Path::new(name));
        let told = |subject: &str, session: &str| (subject.to_string(), session.to_string());
        assert_eq!(
            of("a/00000258_s002_t000.edf").unwrap(),
            told("00000258", "s002")
        );
        assert_eq!(
            of("aaaaaaac_s001_t000.edf").unwrap(),
            told("aaaaaaac", "s001")
        );
        for bad in [
            "x.edf",
            "a_s1.edf",
            "a_s1_x0.edf",
            "a_s_t0.edf",
            "_s1_t0.edf",
            "a_s1_t0_b.edf",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
