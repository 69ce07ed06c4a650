//! Recordings that are larger than memory: they are read, prepared and put into a file stretch by
//! stretch, and their windows lie in the map of that file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;

use arrow::buffer::{Buffer, ScalarBuffer};
use ndarray::{Array3, Axis, CowArray, s};

use super::check::check;
use super::dataset::assemble;
use super::layout::{Prepared, of_recording, places};
use super::missing::observed;
use super::recording::{Chosen, Cut, in_recording};
use super::{Block, Missing, Order, Piece, RecordingSet, Starts, WindowConfig, Windows};
use crate::cache::Cache;
use crate::signal::{FeatureConfig, Stretches};
use crate::{Dataset, Error, Labels, Recording, Result};

/// Values that are read at once, without their margins.
const VALUES: usize = 1 << 24;

/// Reads some time steps of a recording: (nodes, time, features).
pub type ReadSteps = Box<dyn Fn(Range<usize>) -> Result<Array3<f32>> + Send + Sync>;

/// A recording whose signal is read as it is wanted.
pub struct Long {
    /// Everything but the signal, which has its nodes and features and no time step. It has a
    /// sampling rate, and no mask.
    pub recording: Recording,
    /// Its time steps.
    pub steps: usize,
    /// Reads some of them.
    pub read: ReadSteps,
}

/// Windows of recordings as [`attempt`](super::dataset::attempt) makes them, but for what filters
/// remember beyond 10⁻¹²; `None` where they have to be read whole: something is done to them that
/// depends on all of a recording, or values are missing.
pub(super) fn attempt_long(
    longs: Vec<Long>,
    shared: &RecordingSet,
    how: (&WindowConfig, &FeatureConfig, Missing),
) -> Result<Option<std::result::Result<Dataset, usize>>> {
    attempt_in(longs, shared, how, VALUES)
}

/// [`attempt_long`], with so many values read at once.
fn attempt_in(
    longs: Vec<Long>,
    shared: &RecordingSet,
    how: (&WindowConfig, &FeatureConfig, Missing),
    values: usize,
) -> Result<Option<std::result::Result<Dataset, usize>>> {
    let (times, mut recordings, mut reads) = (
        longs.iter().map(|l| l.steps).collect::<Vec<_>>(),
        Vec::new(),
        Vec::new(),
    );
    for long in longs {
        recordings.push(long.recording);
        reads.push(long.read);
    }
    let mut set = RecordingSet {
        recordings,
        ..shared.clone()
    };
    check(&set, &times)?;
    let mut pieces = Vec::with_capacity(times.len());
    let mut referenced = None;
    for ((r, steps), read) in set.recordings.iter().zip(times).zip(&reads) {
        let Some((like, cut)) = cut_long(r, steps, read, shared, how, values)? else {
            return Ok(None);
        };
        pieces.push(cut);
        referenced = Some(like);
    }
    // Sensors, positions and graph as references and montages leave them.
    if let Some(like) = referenced {
        set = RecordingSet {
            recordings: set.recordings,
            ..like
        };
    }
    assemble(set, pieces).map(Some)
}

/// The windows of a recording, and a set without recordings that has its sensors.
fn cut_long(
    r: &Recording,
    steps: usize,
    read: &ReadSteps,
    shared: &RecordingSet,
    (window, features, missing): (&WindowConfig, &FeatureConfig, Missing),
    values: usize,
) -> Result<Option<(RecordingSet, Cut)>> {
    let in_recording = in_recording(&r.name);
    let whole = of_recording(features, &r.labels);
    let Some(rate) = r.sampling_rate else {
        return Ok(None);
    };
    let Some(how) = whole.stretches(rate).map_err(&in_recording)? else {
        return Ok(None);
    };
    let from = whole.times(steps, Some(rate)).map_err(&in_recording)?;
    let after = features.rate(Some(rate));
    let recording = Prepared {
        from,
        rates: (Some(rate), after),
    };
    let places = places(&r.labels, &recording, window, features).map_err(&in_recording)?;
    let (v, _, f) = r.signal.dim();
    let mut scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(e) => return unwritten(r, &e),
    };
    let mut lengths = Vec::new();
    let mut of = None;
    let mut finite = true;
    for stretch in stretches(steps, how, (values / (v * f).max(1)).max(1)) {
        let stub = Recording {
            name: r.name.clone(),
            signal: read(stretch.read.clone())?,
            mask: None,
            sampling_rate: Some(rate),
            labels: Labels::None,
            subject: None,
            session: None,
            part: None,
        };
        let first = stretch.read.start;
        if observed(&stub, first, &shared.sensors, missing)?.1 {
            return Ok(None);
        }
        let mut set = features.rereference(RecordingSet {
            recordings: vec![stub],
            ..shared.clone()
        })?;
        let Some(stub) = set.recordings.pop() else {
            return Ok(None);
        };
        let prepared = whole
            .prepare(stub.signal, Some(rate))
            .map_err(&in_recording)?;
        let end = match stretch.keep.end {
            usize::MAX => prepared.len_of(Axis(1)),
            end => end,
        };
        let kept = prepared.slice(s![.., stretch.keep.start..end, ..]);
        finite &= kept.iter().all(|value| value.is_finite());
        lengths.push((kept.len(), kept.len_of(Axis(1))));
        if let Err(e) = scratch.put(kept.iter().copied().collect()) {
            return unwritten(r, &e);
        }
        of = Some((set, (kept.dim().0, kept.dim().2)));
    }
    let Some((set, (v, f))) = of else {
        return Ok(None);
    };
    let map = match scratch.map() {
        Ok(map) => map,
        Err(e) => return unwritten(r, &e),
    };
    let mut at = 0;
    let block = |(values, steps): (usize, usize)| {
        let first = at;
        at += values;
        Block::new(
            ScalarBuffer::new(map.clone(), first, values),
            steps,
            Order::Nodes,
        )
    };
    let blocks: Vec<Block> = lengths.into_iter().map(block).collect();
    let ends: Vec<usize> = blocks
        .iter()
        .scan(0, |end, block| {
            *end += block.steps();
            Some(*end)
        })
        .collect();
    let part = |range: Range<usize>| -> CowArray<'_, f32, ndarray::Ix3> {
        // The blocks that it touches.
        let first = ends.partition_point(|end| *end <= range.start);
        let last = ends.partition_point(|end| *end < range.end);
        let touched = &blocks[first.min(last)..(last + 1).min(blocks.len())];
        let before = first.checked_sub(1).map_or(0, |i| ends[i]);
        let home = vec![Piece::Recording {
            blocks: touched.to_vec(),
            starts: Starts::At(vec![range.start - before]),
        }];
        // Places are inside what was prepared; were they not, there would be no window.
        match Windows::new((v, range.len(), f), home) {
            Ok(windows) => windows.window(0).into_owned().into(),
            Err(_) => Array3::zeros((v, 0, f)).into(),
        }
    };
    let chosen = Chosen::of(places, features, &part, None);
    let cut = match chosen.stay(features) {
        true => Cut {
            shape: (v, chosen.ranges.first().map_or(0, Range::len), f),
            x: Piece::Recording {
                starts: Starts::of(&chosen.ranges),
                blocks,
            },
            mask: None,
            y: chosen.y,
            trial: chosen.trial,
            finite,
            rejected: chosen.rejected,
        },
        false => chosen
            .apart(features, &part, None, after)
            .map_err(&in_recording)?,
    };
    Ok(Some((set, cut)))
}

/// There is no room to put a recording.
fn unwritten<T>(r: &Recording, e: &Error) -> Result<Option<T>> {
    log::warn!(
        "{}: read whole, as it cannot be kept in a file: {e}",
        r.name
    );
    Ok(None)
}

/// A part of a recording.
#[derive(Debug, PartialEq)]
struct Stretch {
    /// The time steps that are read.
    read: Range<usize>,
    /// What is kept of them after preparation; to the end in the last one.
    keep: Range<usize>,
}

/// Stretches of about `size` time steps and, with that, at least as long as their margins.
fn stretches(steps: usize, how: Stretches, size: usize) -> impl Iterator<Item = Stretch> {
    let units = steps.div_ceil(how.unit);
    let margin = how.margin.div_ceil(how.unit);
    let size = (size / how.unit).max(margin).max(1);
    (0..units).step_by(size).map(move |start| {
        let first = start.saturating_sub(margin);
        let end = (start + size).min(units);
        let skip = (start - first) * how.prepared;
        let behind = end.saturating_add(margin).saturating_mul(how.unit);
        Stretch {
            read: first * how.unit..behind.min(steps),
            keep: match end == units {
                true => skip..usize::MAX,
                false => skip..skip + (end - start) * how.prepared,
            },
        }
    })
}

/// A file without a name, in the folder of the user's cache or else that of temporary files, that is
/// written once and then mapped.
struct Scratch {
    out: BufWriter<File>,
    folder: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        let cache = Cache::user().map(|c| c.folder().to_path_buf());
        let in_cache = cache.and_then(|folder| {
            std::fs::create_dir_all(&folder).ok()?;
            Some((tempfile::tempfile_in(&folder).ok()?, folder))
        });
        let (file, folder) = match in_cache {
            Some(found) => found,
            None => {
                let folder = std::env::temp_dir();
                let file = tempfile::tempfile_in(&folder).map_err(|e| Error::io(&folder, e))?;
                (file, folder)
            }
        };
        Ok(Self {
            out: BufWriter::new(file),
            folder,
        })
    }

    fn put(&mut self, values: Vec<f32>) -> Result<()> {
        let bytes = Buffer::from_vec(values);
        let written = self.out.write_all(bytes.as_slice());
        written.map_err(|e| Error::io(&self.folder, e))
    }

    fn map(self) -> Result<Buffer> {
        let failed = |e| Error::io(&self.folder, e);
        let file = self.out.into_inner().map_err(|e| failed(e.into_error()))?;
        if file.metadata().map_err(failed)?.len() == 0 {
            return Ok(Buffer::from_vec(Vec::<f32>::new()));
        }
        // SAFETY: nobody else has the file, which has no name, and nothing is written to it any more.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
        Ok(Buffer::from(bytes::Bytes::from_owner(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::dataset::attempt;
    use crate::{DatasetInfo, Span};

    fn signal(v: usize, steps: Range<usize>) -> Array3<f32> {
        Array3::from_shape_fn((v, steps.len(), 1), |(v, t, _)| {
            let t = (steps.start + t) as f32;
            100.0 + (0.2 * t * (v + 1) as f32).sin() * 30.0 + (t * 0.37) % 5.0
        })
    }

    fn recording(name: &str, labels: Labels, signal: Array3<f32>) -> Recording {
        Recording {
            name: name.into(),
            signal,
            mask: None,
            sampling_rate: Some(128.0),
            labels,
            subject: Some("s".into()),
            session: None,
            part: None,
        }
    }

    #[test]
    fn long_recordings_give_the_windows_of_short_ones() {
        let names = ["Fp1", "F3", "C3", "P3"];
        let names = names.iter().map(|n| n.to_string()).collect();
        let shared = RecordingSet::new(DatasetInfo::default(), names, &["x", "y"]);
        let events = |n: usize| Labels::Events {
            events: (0..n / 700)
                .map(|i| Span {
                    steps: 700 * i + 50..700 * i + 250,
                    class: 1,
                })
                .collect(),
            otherwise: 0,
        };
        let trials = |n: usize| Labels::Trials {
            trials: (0..n / 900)
                .map(|i| Span {
                    steps: 900 * i + 10..900 * i + 610,
                    class: i % 2,
                })
                .collect(),
            apart: true,
        };
        let window = |length, stride| WindowConfig {
            length: Some(length),
            stride: Some(stride),
            unit: super::super::Unit::Seconds,
        };
        let kinds: [(&str, &dyn Fn(usize) -> Labels); 3] = [
            ("events", &events),
            ("trials", &trials),
            ("steps", &|n| {
                Labels::PerStep((0..n).map(|t| t / 1000 % 2).collect())
            }),
        ];
        for (kind, labels) in kinds {
            for (text, exact) in [
                ("", true),
                (
                    "reference = \"average\"\nreject = { peak_to_peak = 69.5, tolerate = 0.3 }",
                    true,
                ),
                (
                    "kind = \"log-spectrum\"\nsegment_seconds = 0.5\nbins = 8",
                    true,
                ),
                ("highpass_hz = 2\ndecimate = 2", false),
                (
                    "reference = [\"C3\"]\nsteps = [{ kind = \"resample\", hz = 100 }]",
                    false,
                ),
            ] {
                let features: FeatureConfig = toml::from_str(text).unwrap();
                let window = window(1.0, 0.5);
                let how = (&window, &features, Missing::Error);
                let lengths = [9_001, 5_000];
                let whole = RecordingSet {
                    recordings: lengths
                        .iter()
                        .map(|n| recording(&n.to_string(), labels(*n), signal(4, 0..*n)))
                        .collect(),
                    ..shared.clone()
                };
                let long = |n: &usize| Long {
                    recording: recording(&n.to_string(), labels(*n), signal(4, 0..0)),
                    steps: *n,
                    read: Box::new(|steps| Ok(signal(4, steps))),
                };
                let whole = attempt(whole, how.0, how.1, how.2).unwrap().unwrap();
                let longs = lengths.iter().map(long).collect();
                let long = attempt_in(longs, &shared, how, 4 * 1_500).unwrap();
                let long = long.expect(text).unwrap();
                assert!(whole.x.len() > 20, "{kind} {text}");
                assert_eq!(whole.x.dim(), long.x.dim(), "{kind} {text}");
                assert_eq!(whole.y, long.y, "{kind} {text}");
                assert_eq!(whole.recording, long.recording);
                assert_eq!(
                    (&whole.sensors, &whole.subject),
                    (&long.sensors, &long.subject)
                );
                assert_eq!(whole.mask, long.mask);
                assert_eq!(whole.sampling_rate, long.sampling_rate);
                if exact {
                    assert_eq!(whole.x, long.x, "{kind} {text}");
                }
                for (a, b) in whole.x.to_array().iter().zip(long.x.to_array()) {
                    assert!((a - b).abs() < 1e-4, "{kind} {text}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_left_to_others() {
        let shared = RecordingSet::new(DatasetInfo::default(), vec!["a".into()], &[]);
        let window = WindowConfig::default();
        let go = |features: &str, value: f32, missing| {
            let long = Long {
                recording: recording("r", Labels::None, signal(1, 0..0)),
                steps: 3_000,
                read: Box::new(move |steps| {
                    let mut signal = signal(1, steps.clone());
                    if steps.contains(&2_500) {
                        signal[[0, 2_500 - steps.start, 0]] = value;
                    }
                    Ok(signal)
                }),
            };
            let features: FeatureConfig = toml::from_str(features).unwrap();
            attempt_in(vec![long], &shared, (&window, &features, missing), 1_000)
        };
        assert!(go("", 0.0, Missing::Error).unwrap().is_some());
        assert!(
            go("detrend = \"constant\"", 0.0, Missing::Error)
                .unwrap()
                .is_none()
        );
        assert!(go("", f32::NAN, Missing::Mask).unwrap().is_none());
        let text = go("", f32::NAN, Missing::Error).unwrap_err().to_string();
        assert!(text.contains("time step 2500"), "{text}");
    }

    #[test]
    fn stretches_follow_each_other() {
        let how = Stretches {
            unit: 4,
            prepared: 2,
            margin: 5,
        };
        let all: Vec<Stretch> = stretches(35, how, 12).collect();
        let stretch = |read, keep| Stretch { read, keep };
        assert_eq!(
            all,
            [
                stretch(0..20, 0..6),
                stretch(4..32, 4..10),
                stretch(16..35, 4..usize::MAX)
            ]
        );
    }
}
