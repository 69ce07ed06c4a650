//! Folders of files that are large together: their signals are read when they are wanted.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Shared, read_file};
use super::{Found, LARGE};
use crate::datasets::description::FolderConfig;
use crate::datasets::variables::Item;
use crate::datasets::{DatasetConfig, biosignals, channels, keep_subjects, of_subjects};
use crate::windows::{LazySet, Long, RecordingSet, Shard, alike};
use crate::{Error, Labels, Recording, Result, SourceFile};

/// The recordings of `found`, whose signals are read when they are wanted; of files of `large` bytes
/// stretch by stretch, where that can be.
pub(super) fn lazy(
    folder: &Path,
    config: &FolderConfig,
    asked: &DatasetConfig,
    found: Found,
    large: u64,
) -> Result<LazySet> {
    let Found {
        mut set,
        mut places,
        gaps,
    } = found;
    let mut recordings = set.recordings.iter();
    places.retain(|_| {
        recordings
            .next()
            .is_some_and(|r| of_subjects(r, &asked.subjects))
    });
    keep_subjects(&mut set, &asked.subjects)?;
    alike(&set)?;
    let mut files: Vec<(PathBuf, Vec<(usize, Recording)>)> = Vec::new();
    for ((path, number), recording) in places.into_iter().zip(std::mem::take(&mut set.recordings)) {
        match files.last_mut() {
            Some((last, all)) if *last == path => all.push((number, recording)),
            _ => files.push((path, vec![(number, recording)])),
        }
    }
    let sources = set.sources.iter().map(|s| (s.path.clone(), s.clone()));
    let sources: HashMap<PathBuf, SourceFile> = sources.collect();
    let of_files: HashSet<PathBuf> = files.iter().map(|(p, _)| p.clone()).collect();
    set.sources.retain(|s| !of_files.contains(&s.path));
    let whole = Arc::new((set.clone(), config.clone(), asked.clone()));
    let toml = folder.join("dataset.toml");
    let shards = files.into_iter().map(|(path, wanted)| {
        let (whole, toml) = (Arc::clone(&whole), toml.clone());
        let source = sources.get(&path).cloned();
        let wanted = Arc::new(wanted);
        let bytes = source.as_ref().map_or(0, |s| s.bytes);
        let long = (bytes >= large && biosignals::takes(&path))
            .then(|| (Arc::clone(&whole), path.clone(), Arc::clone(&wanted)));
        let mut shard = Shard::new(vec![path.clone()], move || {
            let (set, config, asked) = &*whole;
            let mut shared = Shared {
                sensors: set.sensors.clone(),
                classes: set.classes.clone(),
                started: true,
                ..Default::default()
            };
            let items = read_file(&path, config, &toml, &mut shared, &asked.accept, true)?;
            let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
            let again = wanted.iter().map(|(number, stored)| {
                let item = items.get_mut(*number).and_then(Option::take);
                let read = item.ok_or_else(|| fewer(&path))?;
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
        });
        if let Some((whole, path, wanted)) = long {
            shard = shard.or_long(move || unread(&path, &whole, &wanted));
        }
        match source {
            Some(source) => shard.hashed(vec![source]),
            None => shard,
        }
    });
    let shards: Vec<Shard> = shards.collect();
    let bytes = |p: &PathBuf| sources.get(p).map_or(0, |s| s.bytes);
    let largest = of_files.iter().map(bytes).max().unwrap_or(0);
    let most = (LARGE / largest.max(1)).clamp(1, rayon::current_num_threads() as u64);
    channels::keep(&mut set, &asked.channels)?;
    Ok(LazySet {
        gaps,
        at_once: Some(most as usize),
        ..LazySet::new(set, shards)
    })
}

fn fewer(path: &Path) -> Error {
    let problem = "has fewer recordings than a moment ago";
    Error::file(path, "recordings", problem, "run again")
}

/// What all files share, and what is asked of them.
type Whole = Arc<(RecordingSet, FolderConfig, DatasetConfig)>;

/// The `wanted` recordings of a file, their signals unread; `None` where they have to be read as wholes.
fn unread(path: &Path, whole: &Whole, wanted: &[(usize, Recording)]) -> Result<Option<Vec<Long>>> {
    let (_, config, asked) = &**whole;
    let Some(parts) = biosignals::unread(path, config, &asked.accept)? else {
        return Ok(None);
    };
    let mut parts: Vec<_> = parts.into_iter().map(Some).collect();
    let long = |(number, stored): &(usize, Recording)| {
        let part = parts.get_mut(*number).and_then(Option::take);
        let (steps, read) = part.ok_or_else(|| fewer(path))?;
        let whole = Arc::clone(whole);
        let kept = move |signal| {
            let (set, _, asked) = &*whole;
            let mut one = RecordingSet {
                recordings: vec![Recording {
                    name: String::new(),
                    signal,
                    mask: None,
                    sampling_rate: None,
                    labels: Labels::None,
                    subject: None,
                    session: None,
                    part: None,
                }],
                ..set.clone()
            };
            channels::keep(&mut one, &asked.channels)?;
            let first = one.recordings.pop();
            Ok::<_, Error>(first.map(|r| r.signal).unwrap_or_default())
        };
        Ok(Long {
            recording: Recording {
                signal: kept(read(0..0)?)?,
                ..stored.clone()
            },
            steps,
            read: Box::new(move |steps| kept(read(steps)?)),
        })
    };
    wanted.iter().map(long).collect::<Result<_>>().map(Some)
}
