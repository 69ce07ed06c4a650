//! Data sets of one's own: from a folder with a `dataset.toml` to recordings.

mod file;
mod large;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use ndarray::{Array3, Axis};

use super::description::FolderConfig;
use super::graph_file::given;
use super::labels::{self, Raw};
use super::manifest::Manifest;
use super::read_positions;
use super::variables::{Arrays, Item};
use super::{Accept, DatasetConfig, Recordings, channels, keep_subjects};
use crate::electrodes::electrode_positions;
use crate::windows::RecordingSet;
use crate::{Error, Part, Recording, Result, files};
use file::{Shared, read_file};
use large::lazy;

/// Bytes of files from which on these are read twice: one at a time for what they say about each
/// other, then for their signals, as many at a time as together are no larger than this.
const LARGE: u64 = 1 << 29;

/// What `config` (of `folder`) describes, as far as `asked` wants it: in memory, or file by file
/// where it is large.
pub(super) fn open(
    folder: &Path,
    config: &FolderConfig,
    asked: &DatasetConfig,
) -> Result<Recordings> {
    open_from(folder, config, asked, LARGE)
}

fn open_from(
    folder: &Path,
    config: &FolderConfig,
    asked: &DatasetConfig,
    large: u64,
) -> Result<Recordings> {
    let manifest = match &config.manifest {
        Some(path) => Some(Manifest::read(folder, &folder.join(path))?),
        None => None,
    };
    let paths = list(folder, config, manifest.as_ref())?;
    let size = |p: &PathBuf| std::fs::metadata(p).map_or(0, |m| m.len());
    let bytes: u64 = paths.iter().map(|(p, _)| size(p)).sum();
    let read = |signals| {
        let manifest = manifest.as_ref();
        recordings(folder, config, &asked.accept, (manifest, &paths), signals)
    };
    if bytes < large {
        let mut set = read(true)?.set;
        keep_subjects(&mut set, &asked.subjects)?;
        channels::keep(&mut set, &asked.channels)?;
        return Ok(Recordings::Read(set));
    }
    lazy(folder, config, asked, read(false)?, large).map(Recordings::Lazy)
}

/// What files hold.
struct Found {
    set: RecordingSet,
    /// File of each recording, and which of it it is.
    places: Vec<(PathBuf, usize)>,
    /// Whether any has missing values marked.
    gaps: bool,
}

/// Reads the files that `config` (of `folder`) describes, with `signals` or without; what `accept` lets
/// pass is left out.
fn recordings(
    folder: &Path,
    config: &FolderConfig,
    accept: &[Accept],
    (manifest, paths): (Option<&Manifest>, &Paths),
    signals: bool,
) -> Result<Found> {
    let toml = folder.join("dataset.toml");
    let wrong =
        |field: &str, problem: &str, remedy: &str| Error::file(&toml, field, problem, remedy);
    if paths.is_empty() {
        return Err(wrong(
            "files",
            "names no file",
            "set files = \"*.npz\" or a manifest",
        ));
    }
    let mut shared = Shared {
        sensors: config.sensors.clone(),
        classes: config.classes.clone(),
        ..Default::default()
    };
    let mut sources = vec![files::source_file(&toml)?];
    let mut all: Vec<Item> = Vec::new();
    let mut gaps = false;
    for (path, part) in paths {
        let mut found = read_file(path, config, &toml, &mut shared, accept, signals)?;
        for (number, item) in found.iter_mut().enumerate() {
            item.number = number;
            let r = &mut item.recording;
            gaps |= r.mask.is_some();
            if !signals {
                let (v, _, f) = r.signal.dim();
                r.signal = Array3::zeros((v, 0, f));
                r.mask = None;
            }
            r.part = part.or(r.part);
            if config.subject_from_file {
                r.subject = path.file_stem().map(|s| s.to_string_lossy().into_owned());
            }
            if let Some(manifest) = manifest {
                manifest.apply(path, item)?;
            }
        }
        all.append(&mut found);
        sources.push(files::source_file(path)?);
    }
    let mut others: Vec<PathBuf> = Vec::new();
    if let Some(labels) = &config.labels {
        let path = folder.join(labels);
        own_labels(&path, &mut all)?;
        others.push(path);
    }
    if accept.contains(&Accept::Unlabelled) {
        leave_out_unlabelled(&mut all);
    }
    let nodes = all
        .first()
        .map_or(0, |i| i.recording.signal.len_of(Axis(0)));
    if shared.sensors.is_empty() {
        shared.sensors = (0..nodes).map(|i| i.to_string()).collect();
    }
    let sensors = shared.sensors;
    for item in &all {
        let found = item.recording.signal.len_of(Axis(0));
        if found != sensors.len() {
            return Err(Error::file(
                &item.path,
                "x",
                format!("has {found} nodes, but there are {} sensors", sensors.len()),
                "correct sensors or layout in dataset.toml, or the array",
            ));
        }
    }
    if config.positions.as_deref() == Some(Path::new("10-05")) {
        shared.positions = Some(electrode_positions(&sensors)?);
    } else if let Some(file) = &config.positions {
        let path = folder.join(file);
        shared.positions = Some(read_positions(&path, &sensors)?);
        others.push(path);
    }
    if let Some((path, graph)) = given(folder, &config.graph, &sensors)? {
        shared.adjacency = Some(graph.to_dense());
        others.push(path);
    }
    others.extend(config.manifest.iter().map(|m| folder.join(m)));
    for path in others {
        sources.push(files::source_file(path)?);
    }
    let raw: Vec<(String, Raw)> = all
        .iter_mut()
        .map(|i| {
            let labels = std::mem::replace(&mut i.labels, Raw::None);
            (i.recording.name.clone(), labels)
        })
        .collect();
    let (labels, classes) = labels::resolve(&raw, shared.classes, &config.label_values)?;
    let places = all.iter().map(|i| (i.path.clone(), i.number)).collect();
    let recordings = all
        .into_iter()
        .zip(labels)
        .map(|(item, labels)| Recording {
            labels,
            ..item.recording
        })
        .collect();
    let set = RecordingSet {
        info: config.info(folder),
        sensors,
        positions: shared.positions,
        adjacency: shared.adjacency,
        classes,
        recordings,
        sources,
    };
    Ok(Found { set, places, gaps })
}

/// Keeps the recordings with labels, where there are any.
fn leave_out_unlabelled(all: &mut Vec<Item>) {
    let labelled = |item: &Item| item.labels != Raw::None;
    if all.iter().any(labelled) {
        for item in all.iter().filter(|i| !labelled(i)) {
            log::warn!("{}: left out, it has no label", item.recording.name);
        }
        all.retain(labelled);
    }
}

/// Files, and the part that each belongs to.
type Paths = Vec<(PathBuf, Option<Part>)>;

/// The files that a description names, else those of its manifest.
pub(super) fn list(
    folder: &Path,
    config: &FolderConfig,
    manifest: Option<&Manifest>,
) -> Result<Paths> {
    let toml = folder.join("dataset.toml");
    let mut out = Paths::new();
    let split = &config.split;
    for (field, files, part) in [
        ("split.train", &split.train, Some(Part::Train)),
        (
            "split.validation",
            &split.validation,
            Some(Part::Validation),
        ),
        ("split.test", &split.test, Some(Part::Test)),
        ("files", &config.files, None),
    ] {
        for pattern in files.patterns() {
            let root = glob::Pattern::escape(&folder.to_string_lossy());
            let bad = |problem: String| {
                Error::file(&toml, field, problem, "correct the file name or pattern")
            };
            let matches = glob::glob(&format!("{root}/{pattern}"))
                .map_err(|e| bad(format!("{pattern:?}: {e}")))?;
            let mut any = false;
            for path in matches {
                let path = path.map_err(|e| bad(e.to_string()))?;
                any = true;
                match out.iter().find(|(p, _)| *p == path) {
                    None => out.push((path, part)),
                    Some((_, other)) if part.is_some() && *other != part => {
                        return Err(bad(format!("{} is in two parts", path.display())));
                    }
                    Some(_) => {}
                }
            }
            if !any {
                return Err(bad(format!("no file matches {pattern:?}")));
            }
        }
    }
    if let (true, Some(manifest)) = (out.is_empty(), manifest) {
        out = manifest.paths().map(|p| (p.to_path_buf(), None)).collect();
    }
    Ok(out)
}

/// Gives all recordings the labels of a file of their own.
fn own_labels(path: &Path, all: &mut [Item]) -> Result<()> {
    let labels: Vec<String> = match Arrays::open(path)? {
        Some(mut arrays) => {
            let name = if arrays.contains("y") { "y" } else { "x" };
            let values = arrays.read(path, name)?.into_text(path, name)?;
            values.iter().map(|t| labels::plain(t)).collect()
        }
        None => labels::read_text(path)?,
    };
    if labels.len() != all.len() {
        return Err(Error::file(
            path,
            "labels",
            format!("{} labels for {} recordings", labels.len(), all.len()),
            "give one label for each recording, in the order of the files",
        ));
    }
    for (item, label) in all.iter_mut().zip(labels) {
        item.labels = Raw::Whole(label);
    }
    Ok(())
}
