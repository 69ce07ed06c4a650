//! Sets of recordings that are read when they are wanted: a part of the files at a time, so that
//! raw signals of a large set are never in memory together.

use std::collections::VecDeque;

use ndarray::Array2;
use rayon::prelude::*;

use super::long::attempt_long;
use super::shard::Shard;
use super::store::{Piece, Starts, Windows};
use super::{Mask, Missing, RecordingSet, WindowConfig, attempt, nothing};
use crate::signal::FeatureConfig;
use crate::{Dataset, Error, Recording, Result, SourceFile};

/// Recordings of one data set, in the order of its shards.
pub struct LazySet {
    /// What they share: sensors, classes, licence. It holds no recordings, and of the sources those
    /// that belong to none of the shards.
    pub shared: RecordingSet,
    /// What is read at once.
    pub shards: Vec<Shard>,
    /// Most shards that are in memory at a time; `None`: one for each thread.
    pub at_once: Option<usize>,
    /// Whether a recording may have missing values.
    pub gaps: bool,
}

impl LazySet {
    /// A set without missing values, of which each thread has one shard in memory at a time.
    pub fn new(shared: RecordingSet, shards: Vec<Shard>) -> Self {
        Self {
            shared,
            shards,
            at_once: None,
            gaps: false,
        }
    }
}

impl LazySet {
    /// Reads everything, shards in parallel.
    ///
    /// # Errors
    /// Those of the first shard that has one, and [`Error::Io`] when a file cannot be hashed.
    pub fn read(self) -> Result<RecordingSet> {
        let sources = self.sources()?;
        let read: Vec<Vec<Recording>> = self
            .shards
            .par_iter()
            .map(Shard::read)
            .collect::<Result<_>>()?;
        Ok(RecordingSet {
            recordings: read.into_iter().flatten().collect(),
            sources,
            ..self.shared
        })
    }

    /// All files, those of the shards first, hashed in parallel.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be read.
    pub fn sources(&self) -> Result<Vec<SourceFile>> {
        let shards = self.shards.par_iter().map(Shard::sources);
        let shards: Vec<&[SourceFile]> = shards.collect::<Result<_>>()?;
        let shared = std::iter::once(self.shared.sources.as_slice());
        Ok(shards
            .into_iter()
            .chain(shared)
            .flatten()
            .cloned()
            .collect())
    }

    /// The windows of each shard that has any, as [`cut`](super::cut) makes them, in order. As many
    /// shards are read ahead as are in memory at a time, in parallel, and the signals of a shard are
    /// freed once its windows are made.
    ///
    /// An item is an error as [`cut`](super::cut) or reading gives it; so is the last, where no
    /// shard has a window.
    pub fn parts<'a>(
        &'a self,
        window: &'a WindowConfig,
        features: &'a FeatureConfig,
        missing: Missing,
    ) -> impl Iterator<Item = Result<Dataset>> + 'a {
        Parts {
            set: self,
            how: (window, features, missing),
            next: 0,
            ahead: VecDeque::new(),
            found: false,
            rejected: 0,
            ended: false,
        }
    }

    fn attempt(
        &self,
        shard: &Shard,
        (window, features, missing): (&WindowConfig, &FeatureConfig, Missing),
    ) -> Result<std::result::Result<Dataset, usize>> {
        if let Some(longs) = shard.open_long()? {
            let shared = RecordingSet {
                sources: shard.sources()?.to_vec(),
                ..self.shared.clone()
            };
            let how = (window, features, missing);
            if let Some(cut) = attempt_long(longs, &shared, how)? {
                return Ok(cut);
            }
        }
        let recordings = shard.read()?;
        if recordings.is_empty() {
            return Ok(Err(0));
        }
        let set = RecordingSet {
            recordings,
            sources: shard.sources()?.to_vec(),
            ..self.shared.clone()
        };
        attempt(set, window, features, missing)
    }

    /// The windows of all recordings, as [`cut`](super::cut) makes them. Shards are read in
    /// parallel, and the signals of a shard are freed once its windows are made.
    ///
    /// # Errors
    /// As [`cut`](super::cut), and those of reading.
    pub fn cut(
        &self,
        window: &WindowConfig,
        features: &FeatureConfig,
        missing: Missing,
    ) -> Result<Dataset> {
        let parts = self.parts(window, features, missing);
        let all = join(parts.collect::<Result<_>>()?)?;
        let mut all = all.ok_or_else(|| nothing(0))?;
        all.sources = self.sources()?;
        Ok(all)
    }
}

/// The windows of a set, shard by shard.
struct Parts<'a> {
    set: &'a LazySet,
    how: (&'a WindowConfig, &'a FeatureConfig, Missing),
    next: usize,
    ahead: VecDeque<Dataset>,
    found: bool,
    rejected: usize,
    ended: bool,
}

impl Parts<'_> {
    /// Makes the windows of the next shards.
    fn read_ahead(&mut self) -> Result<()> {
        let most = self.set.at_once.unwrap_or_else(rayon::current_num_threads);
        let end = (self.next + most.max(1)).min(self.set.shards.len());
        let shards = self.set.shards[self.next..end].par_iter();
        let made: Vec<std::result::Result<Dataset, usize>> = shards
            .map(|shard| self.set.attempt(shard, self.how))
            .collect::<Result<_>>()?;
        self.next = end;
        for part in made {
            match part {
                Ok(part) => self.ahead.push_back(part),
                Err(rejected) => self.rejected += rejected,
            }
        }
        Ok(())
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ahead.is_empty() && self.next < self.set.shards.len() && !self.ended {
            if let Err(e) = self.read_ahead() {
                self.ended = true;
                return Some(Err(e));
            }
        }
        if let Some(part) = self.ahead.pop_front() {
            self.found = true;
            return Some(Ok(part));
        }
        if self.found || self.ended {
            return None;
        }
        self.ended = true;
        Some(Err(nothing(self.rejected)))
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
    for mut part in parts {
        windows.push(part.x.clone());
        masks.push(part.mask.take());
        absorb(&mut all, part)?;
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

/// Appends everything of a part but its values and their mask.
///
/// # Errors
/// As [`join`].
pub(crate) fn absorb(all: &mut Dataset, part: Dataset) -> Result<()> {
    agree(all, &part)?;
    let next = all.recording.iter().max().map_or(0, |last| last + 1);
    all.recording
        .extend(part.recording.iter().map(|r| next + r));
    all.y.extend(part.y);
    extend(&mut all.subject, part.subject);
    extend(&mut all.session, part.session);
    all.part.extend(part.part);
    all.sources.extend(part.sources);
    Ok(())
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
pub(crate) fn seen_throughout(count: usize, v: usize, l: usize) -> Piece<u8> {
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
        let sensors = vec!["a".into(), "b".into()];
        RecordingSet::new(DatasetInfo::default(), sensors, &["x", "y"])
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
        let lazy = |at_once| LazySet {
            shared: shared(),
            shards: lengths
                .iter()
                .map(|shard| {
                    let shard = shard.to_vec();
                    Shard::new(Vec::new(), move || Ok(of(&shard)))
                })
                .collect(),
            at_once,
            gaps: true,
        };
        let whole = RecordingSet {
            recordings: lengths.iter().flat_map(|shard| of(shard)).collect(),
            ..shared()
        };
        for features in ["", "standardize = \"time\""] {
            let features: FeatureConfig = toml::from_str(features).unwrap();
            let a = lazy(Some(2))
                .cut(&window(), &features, Missing::Error)
                .unwrap();
            let b = cut(whole.clone(), &window(), &features, Missing::Error).unwrap();
            assert_eq!(a.x, b.x);
            assert_eq!(a.x.len(), 8);
            assert_eq!(a.mask, b.mask);
            assert_eq!((&a.y, &a.part), (&b.y, &b.part));
            assert_eq!((&a.subject, &a.session), (&b.subject, &b.session));
            // Trials of their own count as recordings do; short recordings leave no number.
            assert_eq!(a.recording, [0, 0, 1, 2, 2, 3, 4, 5]);
        }
        let read = lazy(None).read().unwrap();
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
                at_once: None,
                gaps: true,
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
            at_once: None,
            gaps: true,
        };
        let cut = nothing.cut(&window(), &FeatureConfig::default(), Missing::Error);
        let text = cut.unwrap_err().to_string();
        assert!(text.contains("window.length"), "{text}");
    }
}
