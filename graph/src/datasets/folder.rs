//! Data sets of one's own: from a folder with a `dataset.toml` to recordings.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::{Array2, Array3, Axis, Ix2, s};

use super::description::FolderConfig;
use super::graph_file::{given, square};
use super::labels::{self, Raw};
use super::manifest::Manifest;
use super::read_positions;
use super::variables::{Arrays, Item, Layout, items};
use super::{Accept, DatasetConfig, Recordings, biosignals, channels, keep_subjects};
use crate::electrodes::electrode_positions;
use crate::formats::csv::read_table;
use crate::formats::{arff, ts};
use crate::series::{Arranged, TimeAxis, TimePolicy};
use crate::windows::{LazySet, RecordingSet, Shard, alike};
use crate::{DatasetInfo, Error, Labels, Part, Recording, Result, files};

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
    let manifest = manifest(folder, config)?;
    let size = |p: &PathBuf| std::fs::metadata(p).map_or(0, |m| m.len());
    let paths = list(folder, config, manifest.as_ref())?;
    let bytes: u64 = paths.iter().map(|(p, _)| size(p)).sum();
    if bytes < large {
        let mut set = recordings(folder, config, &asked.accept, true)?.set;
        keep_subjects(&mut set, &asked.subjects)?;
        channels::keep(&mut set, &asked.channels)?;
        return Ok(Recordings::Read(set));
    }
    let found = recordings(folder, config, &asked.accept, false)?;
    lazy(folder, config, asked, found).map(Recordings::Lazy)
}

/// The recordings of `found`, whose signals are read when they are wanted.
fn lazy(
    folder: &Path,
    config: &FolderConfig,
    asked: &DatasetConfig,
    found: Found,
) -> Result<LazySet> {
    let Found {
        mut set,
        mut places,
        gaps,
    } = found;
    let wanted = |r: &Recording| {
        let of = |s: &String| asked.subjects.contains(s);
        asked.subjects.is_empty() || r.subject.as_ref().is_some_and(of)
    };
    let mut kept = set.recordings.iter().map(wanted);
    places.retain(|_| kept.next().unwrap_or(false));
    keep_subjects(&mut set, &asked.subjects)?;
    alike(&set)?;
    let mut files: Vec<(PathBuf, Vec<(usize, Recording)>)> = Vec::new();
    for ((path, number), recording) in places.into_iter().zip(std::mem::take(&mut set.recordings)) {
        match files.last_mut() {
            Some((last, all)) if *last == path => all.push((number, recording)),
            _ => files.push((path, vec![(number, recording)])),
        }
    }
    let of_files: HashSet<PathBuf> = files.iter().map(|(p, _)| p.clone()).collect();
    set.sources.retain(|s| !of_files.contains(&s.path));
    let whole = Arc::new((set.clone(), config.clone(), asked.clone()));
    let toml = folder.join("dataset.toml");
    let shards = files.into_iter().map(|(path, wanted)| {
        let (whole, toml) = (Arc::clone(&whole), toml.clone());
        Shard::new(vec![path.clone()], move || {
            let (set, config, asked) = &*whole;
            let mut shared = Shared {
                sensors: set.sensors.clone(),
                classes: set.classes.clone(),
                started: true,
                ..Default::default()
            };
            let items = read_file(&path, config, &toml, &mut shared, &asked.accept)?;
            let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
            let again = wanted.iter().map(|(number, stored)| {
                let item = items.get_mut(*number).and_then(Option::take);
                let read = item.ok_or_else(|| {
                    let problem = "has fewer recordings than a moment ago";
                    Error::file(&path, "recordings", problem, "run again")
                })?;
                Ok(Recording {
                    signal: read.recording.signal,
                    mask: read.recording.mask,
                    ..stored.clone()
                })
            });
            let mut part = RecordingSet {
                recordings: again.collect::<Result<_>>()?,
                ..set.clone()
            };
            channels::keep(&mut part, &asked.channels)?;
            Ok(part.recordings)
        })
    });
    let shards: Vec<Shard> = shards.collect();
    let size = |p: &PathBuf| std::fs::metadata(p).map_or(0, |m| m.len());
    let largest = of_files.iter().map(size).max().unwrap_or(0);
    let most = (LARGE / largest.max(1)).clamp(1, rayon::current_num_threads() as u64);
    channels::keep(&mut set, &asked.channels)?;
    Ok(LazySet {
        gaps,
        at_once: Some(most as usize),
        ..LazySet::new(set, shards)
    })
}

fn manifest(folder: &Path, config: &FolderConfig) -> Result<Option<Manifest>> {
    let path = config.manifest.as_ref();
    path.map(|path| Manifest::read(folder, &folder.join(path)))
        .transpose()
}

/// What files hold.
struct Found {
    set: RecordingSet,
    /// File of each recording, and which of it it is.
    places: Vec<(PathBuf, usize)>,
    /// Whether any has missing values marked.
    gaps: bool,
}

/// Reads what `config` (of `folder`) describes, with `signals` or without; what `accept` lets pass
/// is left out.
fn recordings(
    folder: &Path,
    config: &FolderConfig,
    accept: &[Accept],
    signals: bool,
) -> Result<Found> {
    let toml = folder.join("dataset.toml");
    let wrong =
        |field: &str, problem: &str, remedy: &str| Error::file(&toml, field, problem, remedy);
    let manifest = manifest(folder, config)?;
    let paths = list(folder, config, manifest.as_ref())?;
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
    for (path, part) in &paths {
        let mut found = read_file(path, config, &toml, &mut shared, accept)?;
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
            if let Some(manifest) = &manifest {
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
    let name = std::path::absolute(folder)
        .ok()
        .and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "data".into());
    let set = RecordingSet {
        info: DatasetInfo {
            title: match config.title.as_str() {
                "" => name.clone(),
                title => title.to_string(),
            },
            name,
            licence: config.licence.clone(),
            citation: config.citation.clone(),
        },
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

/// What the files say about the data set as a whole.
#[derive(Default)]
struct Shared {
    sensors: Vec<String>,
    classes: Vec<String>,
    positions: Option<Array2<f64>>,
    adjacency: Option<Array2<f32>>,
    /// Whether the first file has been read.
    started: bool,
}

pub(super) fn list(
    folder: &Path,
    config: &FolderConfig,
    manifest: Option<&Manifest>,
) -> Result<Vec<(PathBuf, Option<Part>)>> {
    let toml = folder.join("dataset.toml");
    let mut out: Vec<(PathBuf, Option<Part>)> = Vec::new();
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

fn read_file(
    path: &Path,
    config: &FolderConfig,
    toml: &Path,
    shared: &mut Shared,
    accept: &[Accept],
) -> Result<Vec<Item>> {
    let first = !std::mem::replace(&mut shared.started, true);
    if let Some(mut arrays) = Arrays::open(path)? {
        let layout = Layout::parse(toml, &config.layout)?;
        let variables = &config.variables;
        if first {
            if let Some(name) = &variables.sensors {
                let names = arrays.read(path, name)?.into_text(path, name)?;
                shared.sensors = names.into_iter().collect();
            }
            if let Some(name) = &variables.adjacency {
                let a = arrays.read(path, name)?.into_f32(path, name)?;
                shared.adjacency = Some(square(path, name, a.into_dimensionality().ok())?);
            }
            if let Some(name) = &variables.positions {
                let p = arrays.read(path, name)?.into_f64(path, name)?;
                let p = p.into_dimensionality::<Ix2>().ok();
                shared.positions = Some(
                    p.filter(|p| [2, 3].contains(&p.ncols()) && p.iter().all(|v| v.is_finite()))
                        .ok_or_else(|| {
                            Error::file(
                                path,
                                name,
                                "is not (nodes, 2 or 3) of finite numbers",
                                "correct the array",
                            )
                        })?,
                );
            }
        }
        return items(path, &mut arrays, config, &layout);
    }
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let recording = |name: String, signal| Recording {
        name,
        signal,
        mask: None,
        sampling_rate: config.sampling_rate,
        labels: Labels::None,
        subject: None,
        session: None,
        part: None,
    };
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some(kind @ ("ts" | "arff")) => {
            let file = match kind {
                "ts" => ts::read(path)?,
                _ => arff::read(path)?.into_ts(path)?,
            };
            if shared.classes.is_empty() {
                shared.classes = file.classes.clone();
            }
            Ok(file
                .x
                .outer_iter()
                .zip(&file.y)
                .enumerate()
                .map(|(i, (x, y))| Item {
                    number: 0,
                    path: path.to_path_buf(),
                    recording: recording(
                        format!("{stem}/{i}"),
                        x.slice(s![.., .., ndarray::NewAxis]).to_owned(),
                    ),
                    labels: Raw::Whole(file.classes[*y].clone()),
                })
                .collect())
        }
        Some("edf" | "bdf" | "gdf") => {
            let Some((sensors, found)) = biosignals::items(path, config, accept)? else {
                return Ok(Vec::new());
            };
            if shared.sensors.is_empty() {
                shared.sensors = sensors.clone();
            }
            if config.sensors.is_empty() && sensors != shared.sensors {
                return Err(Error::file(
                    path,
                    "channels",
                    format!(
                        "{} are not {}",
                        sensors.join(", "),
                        shared.sensors.join(", ")
                    ),
                    "list those that all files have in recording.channels",
                ));
            }
            Ok(found)
        }
        Some("csv" | "tsv" | "txt") => {
            let table = read_table(path, &config.csv)?;
            if shared.sensors.is_empty() {
                shared.sensors = table.columns.clone();
            }
            if config.csv.header && table.columns != shared.sensors {
                return Err(Error::file(
                    path,
                    "header",
                    format!(
                        "columns {} are not the sensors {}",
                        table.columns.join(", "),
                        shared.sensors.join(", ")
                    ),
                    "give all files the same columns in the same order, or list others in csv.skip",
                ));
            }
            let clock = match &table.stamps {
                Some(stamps) => Some(arranged(path, stamps, config.clock)?),
                None => None,
            };
            let steps: Vec<Option<usize>> = match &clock {
                Some(arranged) => arranged.rows.clone(),
                None => (0..table.values.nrows()).map(Some).collect(),
            };
            let signal = Array2::from_shape_fn((table.columns.len(), steps.len()), |(v, t)| {
                steps[t].map_or(f32::NAN, |row| table.values[[row, v]])
            });
            let labels = match (&config.csv.label, table.text.last()) {
                (Some(_), Some(column)) => {
                    // An inserted step has the class of the step before it.
                    let mut last = 0;
                    let code = |row: &Option<usize>| {
                        last = row.unwrap_or(last);
                        labels::plain(&column.words[column.codes[last] as usize])
                    };
                    Raw::PerStep(steps.iter().map(code).collect())
                }
                _ => Raw::None,
            };
            let mut recording = recording(stem, signal.insert_axis(Axis(2)));
            let rate = clock.and_then(|c| c.axis.step().rate());
            recording.sampling_rate = recording.sampling_rate.or(rate);
            Ok(vec![Item {
                number: 0,
                path: path.to_path_buf(),
                recording,
                labels,
            }])
        }
        _ => Err(Error::file(
            path,
            "extension",
            "is none of a format that is read",
            "use .npz, .npy, .mat, .h5, .ts, .arff, .csv, .tsv, .edf, .bdf or .gdf",
        )),
    }
}

/// The order of the steps of a file by their time stamps.
fn arranged(path: &Path, stamps: &[i64], policy: TimePolicy) -> Result<Arranged> {
    let in_file = |e: Error| match e {
        Error::Config {
            field,
            problem,
            remedy,
        } => Error::file(path, field, problem, remedy),
        other => other,
    };
    let arranged = TimeAxis::arrange(stamps, None, policy).map_err(in_file)?;
    let report = &arranged.report;
    if !report.is_clean() {
        log::warn!(
            "{}: {} rows out of order, {} repeated, {} left out in {} gaps",
            path.display(),
            report.unordered,
            report.duplicates,
            report.missing(),
            report.gaps.len()
        );
    }
    Ok(arranged)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use crate::signal::FeatureConfig;
    use crate::windows::{Missing, Unit, WindowConfig, cut};

    /// Everything about windows but where the values lie.
    fn text(d: &Dataset) -> String {
        let mut sources: Vec<_> = d.sources.iter().map(|s| s.sha256.clone()).collect();
        sources.sort();
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {sources:?}",
            d.x.to_array(),
            d.mask,
            d.sensors,
            d.positions,
            d.adjacency,
            d.sampling_rate,
            d.y,
            d.classes,
            d.subject,
            d.part
        )
    }

    fn both(folder: &Path, asked: &DatasetConfig, missing: Missing) -> [Dataset; 2] {
        let config = FolderConfig::read(folder).unwrap();
        let window = WindowConfig {
            length: Some(4.0),
            stride: Some(3.0),
            unit: Unit::Samples,
        };
        let features = FeatureConfig::default();
        let open = |large| open_from(folder, &config, asked, large).unwrap();
        let Recordings::Read(read) = open(u64::MAX) else {
            panic!("not read")
        };
        let Recordings::Lazy(lazy) = open(0) else {
            panic!("not lazy")
        };
        [
            cut(read, &window, &features, missing).unwrap(),
            lazy.cut(&window, &features, missing).unwrap(),
        ]
    }

    #[test]
    fn large_folders_give_the_same_windows_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        for (i, name) in ["a.csv", "b.csv", "c.csv"].iter().enumerate() {
            let rows: String = (0..20 + i)
                .map(|t| match (i, t) {
                    (1, 6) => format!(",{t},0\n"),
                    _ => format!("{},{},{}\n", t * (i + 1), 100 - t, (t / 5) % 2),
                })
                .collect();
            write(name, &format!("p,q,r\n{rows}"));
        }
        write("p.csv", "name,x,y\np,0,0\nq,1,0\nr,0,2\n");
        write(
            "m.csv",
            "file,label,subject,part\na.csv,walk,s1,train\nb.csv,run,s2,test\nc.csv,walk,s2,test\n",
        );
        write(
            "dataset.toml",
            "manifest = \"m.csv\"\npositions = \"p.csv\"\n",
        );
        let asked = DatasetConfig::default();
        let [read, lazy] = both(folder.path(), &asked, Missing::Mask);
        assert!(read.mask.is_some() && read.x.dim().0 > 15);
        assert_eq!(text(&read), text(&lazy));
        let chosen = DatasetConfig {
            subjects: vec!["s2".into()],
            channels: vec!["r".into(), "p".into()],
            ..asked.clone()
        };
        let [read, lazy] = both(folder.path(), &chosen, Missing::Mask);
        assert_eq!(read.sensors, ["r", "p"]);
        // The file of the other subject is not read for windows, but was for the description.
        let without = |d: &Dataset| {
            let all = text(d);
            all[..all.rfind('[').unwrap()].to_string()
        };
        assert_eq!(without(&read), without(&lazy));
        // A class for every step, and two recordings in a file of arrays.
        write(
            "dataset.toml",
            "files = [\"a.csv\", \"c.csv\"]\n[csv]\nlabel = \"r\"\n",
        );
        let [read, lazy] = both(folder.path(), &asked, Missing::Error);
        assert_eq!(read.classes, ["0", "1"]);
        assert_eq!(text(&read), text(&lazy));
        // What is refused of a small folder is refused of a large one.
        write("n.csv", "file,label\na.csv,walk\nb.csv,run\nc.csv,\n");
        write("dataset.toml", "manifest = \"n.csv\"\nmissing = \"mask\"\n");
        let config = FolderConfig::read(folder.path()).unwrap();
        let error = open_from(folder.path(), &config, &asked, 0).map(|_| ());
        let text_of = error.unwrap_err().to_string();
        assert!(text_of.contains("a has a label, c has none"), "{text_of}");
        let x = Array3::from_shape_fn((3, 2, 9), |(n, v, t)| (100 * n + 10 * v + t) as f32);
        let y = ndarray::Array1::from(vec![0.0f32, 1.0, 1.0]);
        let arrays = [("x", x.into_dyn()), ("y", y.into_dyn())];
        for name in ["s1.npz", "s2.npz"] {
            crate::formats::npy::write_npz(folder.path().join(name), &arrays).unwrap();
        }
        write(
            "dataset.toml",
            "files = \"s*.npz\"\nlayout = \"samples nodes time\"\nsubject_from_file = true\n",
        );
        let [read, lazy] = both(folder.path(), &asked, Missing::Error);
        assert_eq!(read.x.dim().0, 12);
        assert_eq!(text(&read), text(&lazy));
    }
}
