//! Sets of recordings that are read when they are wanted: a part of the files at a time, so that
//! raw signals of a large set are never in memory together.

use std::path::PathBuf;

use ndarray::Array2;
use rayon::prelude::*;

use super::store::{Piece, Starts, Windows};
use super::{Mask, Missing, RecordingSet, WindowConfig, attempt, nothing};
use crate::signal::FeatureConfig;
use crate::{Dataset, Error, Recording, Result, files};

/// Recordings of one data set, in the order of its shards.
pub struct LazySet {
    /// What they share: sensors, classes, licence. It holds no recordings, and of the sources those
    /// that belong to none of the shards.
    pub shared: RecordingSet,
    /// What is read at once.
    pub shards: Vec<Shard>,
}

/// A part of a set that is read at once, mostly a file.
pub struct Shard {
    /// The files it is read from.
    pub files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<Vec<Recording>> + Send + Sync>,
}

impl Shard {
    /// A shard whose recordings `read` gives, perhaps none.
    pub fn new(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<Vec<Recording>> + Send + Sync + 'static,
    ) -> Self {
        let read = Box::new(read);
        Self { files, read }
    }

    /// Reads the recordings.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub fn read(&self) -> Result<Vec<Recording>> {
        (self.read)()
    }
}

impl LazySet {
    /// Reads everything, shards in parallel.
    ///
    /// # Errors
    /// Those of the first shard that has one, and [`Error::Io`] when a file cannot be hashed.
    pub fn read(self) -> Result<RecordingSet> {
        let read = |shard: &Shard| -> Result<RecordingSet> { self.with(shard) };
        let parts: Vec<RecordingSet> = self.shards.par_iter().map(read).collect::<Result<_>>()?;
        let mut set = self.shared;
        let (mut recordings, mut sources) = (Vec::new(), Vec::new());
        for part in parts {
            recordings.extend(part.recordings);
            sources.extend(part.sources);
        }
        sources.append(&mut set.sources);
        Ok(RecordingSet {
            recordings,
            sources,
            ..set
        })
    }

    /// The set with the recordings and files of one shard.
    fn with(&self, shard: &Shard) -> Result<RecordingSet> {
        let hashed = shard.files.iter().map(files::source_file);
        Ok(RecordingSet {
            recordings: shard.read()?,
            sources: hashed.collect::<Result<_>>()?,
            ..self.shared.clone()
        })
    }

    /// The windows of one shard, as [`cut`](super::cut) makes them; `None` where it has none.
    ///
    /// # Errors
    /// As [`cut`](super::cut), and those of reading.
    pub fn cut_shard(
        &self,
        shard: &Shard,
        window: &WindowConfig,
        features: &FeatureConfig,
        missing: Missing,
    ) -> Result<Option<Dataset>> {
        Ok(self.attempt(shard, window, features, missing)?.ok())
    }

    fn attempt(
        &self,
        shard: &Shard,
        window: &WindowConfig,
        features: &FeatureConfig,
        missing: Missing,
    ) -> Result<std::result::Result<Dataset, usize>> {
        let set = self.with(shard)?;
        if set.recordings.is_empty() {
            return Ok(Err(0));
        }
        attempt(set, window, features, missing)
    }

    /// The windows of all recordings, as [`cut`](super::cut) makes them. Shards are read in
    /// parallel, and the signals of a shard are freed once its windows are made.
    ///
    /// # Errors
    /// As [`cut`](super::cut), and those of reading.
    pub fn cut(
        mut self,
        window: &WindowConfig,
        features: &FeatureConfig,
        missing: Missing,
    ) -> Result<Dataset> {
        let shards = self.shards.par_iter();
        let parts: Vec<std::result::Result<Dataset, usize>> = shards
            .map(|shard| self.attempt(shard, window, features, missing))
            .collect::<Result<_>>()?;
        let rejected = parts.iter().filter_map(|p| p.as_ref().err()).sum();
        let parts = parts.into_iter().filter_map(std::result::Result::ok);
        let mut all = join(parts.collect())?.ok_or_else(|| nothing(rejected))?;
        all.sources.append(&mut self.shared.sources);
        Ok(all)
    }
}

/// One data set of the samples of several, in order; `None` of none. Values are shared.
///
/// # Errors
/// [`Error::Config`] when they differ in sensors, classes, sampling rate or the shape of windows, or
/// only some of them tell their subjects or sessions.
pub fn join(parts: Vec<Dataset>) -> Result<Option<Dataset>> {
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else {
        return Ok(None);
    };
    let mut windows = vec![all.x.clone()];
    let mut masks = vec![all.mask.take()];
    let mut next = all.recording.iter().max().map_or(0, |last| last + 1);
    for part in parts {
        agree(&all, &part)?;
        windows.push(part.x);
        masks.push(part.mask);
        all.y.extend(part.y);
        let numbers = part.recording.iter().max().map_or(0, |last| last + 1);
        all.recording
            .extend(part.recording.iter().map(|r| next + r));
        next += numbers;
        extend(&mut all.subject, part.subject);
        extend(&mut all.session, part.session);
        all.part.extend(part.part);
        all.sources.extend(part.sources);
    }
    let (_, v, l, f) = all.x.dim();
    if masks.iter().any(Option::is_some) {
        let mut pieces = Vec::new();
        for (mask, windows) in masks.iter().zip(&windows) {
            match mask {
                Some(mask) => pieces.extend(mask.stored().pieces().cloned()),
                None => pieces.push(seen_throughout(windows.len(), v, l)),
            }
        }
        all.mask = Some(Mask::new((v, l), pieces)?);
    }
    let finite = windows.iter().all(Windows::is_finite);
    let pieces = windows.iter().flat_map(Windows::pieces).cloned();
    all.x = Windows::new((v, l, f), pieces.collect())?;
    if finite {
        all.x = all.x.known_finite();
    }
    Ok(Some(all))
}

fn extend(all: &mut Option<Vec<String>>, part: Option<Vec<String>>) {
    if let (Some(all), Some(part)) = (all, part) {
        all.extend(part);
    }
}

/// Checks that samples of both can stand in one data set.
fn agree(a: &Dataset, b: &Dataset) -> Result<()> {
    let shape = |d: &Dataset| {
        let (_, v, l, f) = d.x.dim();
        [v, l, f]
    };
    let file = |d: &Dataset| match d.sources.first() {
        Some(source) => format!("those of {}", source.path.display()),
        None => "others".to_string(),
    };
    let differ = |what: &str, of: String, than: String, remedy: &str| {
        Err(Error::config(
            format!("data set {}", a.info.name),
            format!(
                "recordings differ in {what}: {} have {of}, {} have {than}",
                file(a),
                file(b)
            ),
            remedy,
        ))
    };
    if shape(a) != shape(b) {
        return differ(
            "nodes, time steps and features of their windows",
            format!("{:?}", shape(a)),
            format!("{:?}", shape(b)),
            "set window.length, and give all recordings the same sensors",
        );
    }
    if a.sensors != b.sensors || a.classes != b.classes {
        return differ(
            "sensors or classes",
            a.sensors.join(", "),
            b.sensors.join(", "),
            "give all recordings the same",
        );
    }
    if a.sampling_rate != b.sampling_rate {
        return differ(
            "sampling rate",
            format!("{:?}", a.sampling_rate),
            format!("{:?}", b.sampling_rate),
            "resample all recordings to one rate",
        );
    }
    if a.subject.is_some() != b.subject.is_some() || a.session.is_some() != b.session.is_some() {
        let told = |d: &Dataset| format!("{:?}", (d.subject.is_some(), d.session.is_some()));
        return differ(
            "whether their subjects and sessions are known",
            told(a),
            told(b),
            "give them for all recordings or for none",
        );
    }
    Ok(())
}

/// The mask of `count` windows (v, l) of which nothing is missing. They share one all-seen window.
pub(super) fn seen_throughout(count: usize, v: usize, l: usize) -> Piece<u8> {
    Piece::Recording {
        blocks: vec![Mask::block(Array2::from_elem((v, l), true))],
        starts: Starts::Every {
            first: 0,
            stride: 0,
            count,
        },
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::windows::{Unit, cut};
    use crate::{DatasetInfo, Labels, Part, Span};

    fn recording(number: usize, time: usize) -> Recording {
        let signal = Array3::from_shape_fn((2, time, 1), |(v, t, _)| {
            (1000 * number + 100 * v + t) as f32
        });
        let mut mask = Array2::from_elem((2, time), true);
        mask[[1, time - 1]] = number != 2;
        let span = |start: usize, class| Span {
            steps: start..start + 4,
            class,
        };
        Recording {
            name: format!("r{number}"),
            signal,
            mask: Some(mask),
            sampling_rate: Some(10.0),
            labels: match number {
                3 => Labels::Trials {
                    trials: vec![span(0, 1), span(4, 0)],
                    apart: true,
                },
                _ => Labels::Whole(number % 2),
            },
            subject: Some(format!("s{number}")),
            session: Some("0".into()),
            part: Some(Part::Train),
        }
    }

    fn shared() -> RecordingSet {
        RecordingSet {
            info: DatasetInfo::default(),
            sensors: vec!["a".into(), "b".into()],
            positions: None,
            adjacency: None,
            classes: vec!["x".into(), "y".into()],
            recordings: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn window() -> WindowConfig {
        WindowConfig {
            length: Some(4.0),
            stride: None,
            unit: Unit::Samples,
        }
    }

    #[test]
    fn shards_together_are_what_their_recordings_are() {
        // The second shard is too short for a window, the third has no recording.
        let lengths: [&[(usize, usize)]; 5] = [
            &[(0, 9), (1, 4)],
            &[(4, 3)],
            &[],
            &[(2, 8)],
            &[(3, 8), (5, 5)],
        ];
        let of = |shard: &[(usize, usize)]| -> Vec<Recording> {
            shard.iter().map(|(n, t)| recording(*n, *t)).collect()
        };
        let lazy = || LazySet {
            shared: shared(),
            shards: lengths
                .iter()
                .map(|shard| {
                    let shard = shard.to_vec();
                    Shard::new(Vec::new(), move || Ok(of(&shard)))
                })
                .collect(),
        };
        let whole = RecordingSet {
            recordings: lengths.iter().flat_map(|shard| of(shard)).collect(),
            ..shared()
        };
        for features in ["", "standardize = \"time\""] {
            let features: FeatureConfig = toml::from_str(features).unwrap();
            let a = lazy().cut(&window(), &features, Missing::Error).unwrap();
            let b = cut(whole.clone(), &window(), &features, Missing::Error).unwrap();
            assert_eq!(a.x, b.x);
            assert_eq!(a.x.len(), 8);
            assert_eq!(a.mask, b.mask);
            assert_eq!((&a.y, &a.part), (&b.y, &b.part));
            assert_eq!((&a.subject, &a.session), (&b.subject, &b.session));
            // Trials of their own count as recordings do; short recordings leave no number.
            assert_eq!(a.recording, [0, 0, 1, 2, 2, 3, 4, 5]);
        }
        let read = lazy().read().unwrap();
        let names = |set: &RecordingSet| -> Vec<String> {
            set.recordings.iter().map(|r| r.name.clone()).collect()
        };
        assert_eq!(names(&read), names(&whole));
    }

    #[test]
    fn contradictions_between_shards_are_errors() {
        let with = |change: fn(&mut Recording)| {
            let lazy = LazySet {
                shared: shared(),
                shards: vec![
                    Shard::new(Vec::new(), || Ok(vec![recording(0, 8)])),
                    Shard::new(Vec::new(), move || {
                        let mut other = recording(1, 8);
                        change(&mut other);
                        Ok(vec![other])
                    }),
                ],
            };
            let cut = lazy.cut(&window(), &FeatureConfig::default(), Missing::Error);
            cut.unwrap_err().to_string()
        };
        assert!(with(|r| r.sampling_rate = Some(20.0)).contains("sampling rate"));
        assert!(with(|r| r.session = None).contains("sessions"));
        assert!(with(|r| r.labels = Labels::Whole(7)).contains("label 7"));
        let nothing = LazySet {
            shared: shared(),
            shards: vec![Shard::new(Vec::new(), || Ok(vec![recording(0, 3)]))],
        };
        let cut = nothing.cut(&window(), &FeatureConfig::default(), Missing::Error);
        let text = cut.unwrap_err().to_string();
        assert!(text.contains("window.length"), "{text}");
    }
}
