//! EDF, BDF and GDF files.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::figures::Tally;
use super::record::{AnnotationCount, ChannelFigures, GapFigures, Inspection, TimeFigures, few};
use super::{Format, InspectOptions};
use crate::Result;
use crate::electrodes::{electrode_direction, normalise_channel_name};
use crate::formats::biosignal::{OpenOptions, Segment, SignalFile, Source};
use crate::formats::{edf, gdf};

/// Values held at once, over all channels: a file may be larger than memory.
const BLOCK: f64 = (1 << 23) as f64;
/// Breaks that are listed.
pub(super) const GAPS: usize = 100;
/// Extreme values may be stored this often before they look like a signal that was cut off.
const CLIPPED: f64 = 1e-3;

pub(super) fn inspect(path: &Path, format: Format, options: &InspectOptions) -> Result<Inspection> {
    let how = OpenOptions {
        accept_incomplete: options.accept_damaged,
        accept_damaged_annotations: options.accept_damaged,
    };
    let file = match format {
        Format::Gdf => gdf::open_with(path, how)?,
        _ => edf::open_with(path, how)?,
    };
    describe(&file)
}

fn describe<S: Source>(file: &SignalFile<S>) -> Result<Inspection> {
    let mut found = Inspection {
        format: file.format.clone(),
        time: Some(time(file)),
        annotations: annotations(file),
        ..Default::default()
    };
    found.fact("patient", words(&file.patient));
    found.fact("recording", words(&file.recording));
    let readable: Vec<usize> = (0..file.channels.len())
        .filter(|i| file.channels[*i].range.linear().is_some())
        .collect();
    let tallies = tallies(file, &readable)?;
    let mut clipped = Vec::new();
    for (i, channel) in file.channels.iter().enumerate() {
        let mut figures = Default::default();
        if let Some(at) = readable.iter().position(|r| *r == i) {
            figures = tallies[at].0.figures();
            if tallies[at].1 as f64 > CLIPPED * figures.count as f64 && !figures.is_constant() {
                clipped.push(channel.label.as_str());
            }
        }
        found.channels.push(ChannelFigures {
            name: channel.label.clone(),
            unit: channel.unit.clone(),
            rate_hz: Some(channel.rate),
            figures,
        });
    }
    if !clipped.is_empty() {
        found.warn(format!(
            "{} of {} channels often at the end of their range, as if cut off: {}",
            clipped.len(),
            file.channels.len(),
            few(&clipped)
        ));
    }
    warn(file, &readable, &mut found);
    found.warn_of_channels();
    Ok(found)
}

/// Whether a channel measures at a place of the scalp; the ears and mastoids (A1, A2, M1, M2) are
/// there as references.
pub(super) fn on_the_scalp(label: &str) -> bool {
    let name = normalise_channel_name(label);
    electrode_direction(&name).is_some() && !["A1", "A2", "M1", "M2"].contains(&name.as_str())
}

/// The text with single blanks for what is blank or no character.
fn words(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text.split(blank).filter(|w| !w.is_empty()).collect();
    words.join(" ")
}

/// Figures of channels, and how often each is at the end of its range, read block by block.
fn tallies<S: Source>(file: &SignalFile<S>, channels: &[usize]) -> Result<Vec<(Tally, u64)>> {
    let rate: f64 = channels.iter().map(|i| file.channels[*i].rate).sum();
    let mut all = vec![(Tally::default(), 0u64); channels.len()];
    // Whole seconds, so that blocks of any rate begin on a sample where records do.
    let block = (BLOCK / rate.max(1.0)).floor().max(1.0);
    for segment in &file.segments {
        let mut begin = 0.0;
        while begin < segment.seconds {
            let part = Segment {
                start: segment.start + begin,
                stored: segment.stored + begin,
                seconds: block.min(segment.seconds - begin),
            };
            let rows = file.read(channels, &part)?;
            let pieces: Vec<(Tally, u64)> = rows
                .par_iter()
                .zip(channels)
                .map(|(row, i)| {
                    let range = file.channels[*i].range;
                    let (a, b) = (range.physical_min as f32, range.physical_max as f32);
                    let at_end = row.iter().filter(|v| **v <= a.min(b) || **v >= a.max(b));
                    (
                        Tally::of(row.iter().map(|v| f64::from(*v))),
                        at_end.count() as u64,
                    )
                })
                .collect();
            for (whole, piece) in all.iter_mut().zip(&pieces) {
                whole.0.join(&piece.0);
                whole.1 += piece.1;
            }
            begin += block;
        }
    }
    Ok(all)
}

fn time<S: Source>(file: &SignalFile<S>) -> TimeFigures {
    let first = file.channels.first();
    let same = first.filter(|f| file.channels.iter().all(|c| c.samples == f.samples));
    let gaps = file.gaps();
    TimeFigures {
        steps: same.map(|c| c.samples),
        rate_hz: same.map(|c| c.rate),
        start: file.start.map(|s| s.strftime("%F %T").to_string()),
        seconds: Some(file.seconds()),
        gap_count: Some(gaps.len()),
        gaps: gaps
            .iter()
            .take(GAPS)
            .map(|g| GapFigures {
                at: format!("{} s", super::plain(g.at)),
                seconds: g.seconds,
                steps: None,
            })
            .collect(),
        ..Default::default()
    }
}

fn annotations<S: Source>(file: &SignalFile<S>) -> Vec<AnnotationCount> {
    let mut counts: BTreeMap<&str, AnnotationCount> = BTreeMap::new();
    for a in &file.annotations {
        let entry = counts.entry(&a.text).or_insert_with(|| AnnotationCount {
            text: a.text.clone(),
            count: 0,
            seconds: 0.0,
            first: a.onset,
        });
        entry.count += 1;
        entry.seconds += a.duration.unwrap_or(0.0);
    }
    counts.into_values().collect()
}

fn warn<S: Source>(file: &SignalFile<S>, readable: &[usize], found: &mut Inspection) {
    let channels = &file.channels;
    if readable.len() < channels.len() {
        let names: Vec<&str> = (0..channels.len())
            .filter(|i| !readable.contains(i))
            .map(|i| channels[i].label.as_str())
            .collect();
        found.warn(format!(
            "no physical range, so that values have no meaning: {}",
            few(&names)
        ));
    }
    let mut rates: Vec<f64> = channels.iter().map(|c| c.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.len() > 1 {
        let rates: Vec<String> = rates.iter().map(|r| super::plain(*r)).collect();
        found.warn(format!(
            "channels differ in sampling rate: {} Hz",
            few(&rates)
        ));
    }
    let breaks = found.time.as_ref().and_then(|t| t.gap_count);
    if let Some(breaks) = breaks.filter(|n| *n > 0) {
        found.warn(format!("the recording has {breaks} breaks"));
    }
    let mut spelled: Vec<String> = channels
        .iter()
        .map(|c| normalise_channel_name(&c.label))
        .collect();
    let electrodes = spelled.iter().filter(|n| on_the_scalp(n)).count();
    found.fact(
        "electrodes of known position",
        format!("{electrodes} of {} channels", channels.len()),
    );
    spelled.sort_unstable();
    let twice: Vec<&String> = spelled
        .windows(2)
        .filter(|w| w[0] == w[1])
        .map(|w| &w[0])
        .collect();
    if !twice.is_empty() {
        found.warn(format!("several channels are named alike: {}", few(&twice)));
    }
    if file.start.is_none() {
        found.warn("the start has no date and time");
    }
}
