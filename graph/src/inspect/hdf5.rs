//! HDF5 files: tables of pandas, nights of Dreem, clips of the seizure corpus, or what they hold.

use std::path::Path;

use ndarray::Axis;
use rayon::prelude::*;

use super::Figures;
use super::figures::Tally;
use super::record::{ArrayFigures, ChannelFigures, ClassCounts, Inspection, TimeFigures};
use super::table;
use crate::Result;
use crate::formats::clip::Clip;
use crate::formats::dreem::{EPOCH_SECONDS, Night};
use crate::formats::hdf5::{DatasetInfo, Hdf5};
use crate::formats::pandas::{Frame, Store};

/// Values held at once: a file may be larger than memory.
const BLOCK: usize = 1 << 23;
/// Sleep stages, -1 (not scored) left out.
const STAGES: [&str; 5] = ["wake", "N1", "N2", "N3", "REM"];

pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let file = Hdf5::open(path)?;
    if file.contains("hypnogram") && file.contains("signals") {
        return night(path);
    }
    if file.contains("resampled_signal") && file.contains("resample_freq") {
        return clip(path);
    }
    let store = Store::open(path)?;
    let keys = store.keys()?;
    if let Some(first) = keys.first() {
        let mut found = frame(&store.frame(Some(first))?)?;
        found.fact("key", first);
        if keys.len() > 1 {
            found.warn(format!(
                "holds {} tables: {}; the first is shown",
                keys.len(),
                keys.join(", ")
            ));
        }
        return Ok(found);
    }
    let mut found = Inspection {
        format: "HDF5".into(),
        ..Default::default()
    };
    for info in file.datasets()? {
        let figures = match values(&file, &info) {
            Ok(figures) => figures,
            Err(e) => {
                found.warn(e.to_string());
                None
            }
        };
        found.arrays.push(ArrayFigures {
            name: info.name,
            kind: info.kind,
            shape: info.shape,
            figures,
            ..Default::default()
        });
    }
    Ok(found)
}

/// Figures of a data set of numbers, read in pieces.
fn values(file: &Hdf5, info: &DatasetInfo) -> Result<Option<Figures>> {
    let number =
        |kind: &str| kind.starts_with("float") || kind.contains("int") || kind.starts_with("bool");
    if !number(&info.kind) {
        return Ok(None);
    }
    let Some((rows, rest)) = info.shape.split_first() else {
        let value = file.read_f32(&info.name, None)?;
        return Ok(Some(Figures::of(value.as_slice().unwrap_or_default())));
    };
    let row: usize = rest.iter().product::<usize>().max(1);
    let step = (BLOCK / row).max(1);
    let mut all = Tally::default();
    for from in (0..*rows).step_by(step) {
        let piece = file.read_f32(&info.name, Some(from..(from + step).min(*rows)))?;
        all.join(&Tally::of(piece.iter().map(|v| f64::from(*v))));
    }
    Ok(Some(all.figures()))
}

fn frame(frame: &Frame<'_>) -> Result<Inspection> {
    let rows = frame.rows();
    let columns = frame.columns.len();
    let mut found = Inspection {
        format: "pandas table in HDF5".into(),
        ..Default::default()
    };
    found.fact("shape", format!("{rows} rows × {columns} columns"));
    if let Some(stamps) = frame.index.stamps() {
        table::clock::describe(&stamps, &mut found);
    }
    let step = (BLOCK / columns.max(1)).max(1);
    let mut all = vec![Tally::default(); columns];
    for from in (0..rows).step_by(step) {
        let piece = frame.read_rows(from..(from + step).min(rows))?;
        all.par_iter_mut().enumerate().for_each(|(c, tally)| {
            tally.join(&Tally::of(
                piece.index_axis(Axis(1), c).iter().map(|v| f64::from(*v)),
            ));
        });
    }
    found.channels = frame
        .columns
        .iter()
        .zip(&all)
        .map(|(name, tally)| ChannelFigures {
            name: name.clone(),
            figures: tally.figures(),
            ..Default::default()
        })
        .collect();
    found.warn_of_channels();
    Ok(found)
}

fn night(path: &Path) -> Result<Inspection> {
    let night = Night::open(path)?;
    let mut found = Inspection {
        format: "HDF5, a night of Dreem".into(),
        ..Default::default()
    };
    let first = night.channels.first();
    let same = first.filter(|f| {
        night
            .channels
            .iter()
            .all(|c| c.rate == f.rate && c.samples == f.samples)
    });
    found.time = Some(TimeFigures {
        steps: same.map(|c| c.samples as u64),
        rate_hz: same.map(|c| c.rate),
        seconds: first.map(|c| c.samples as f64 / c.rate),
        ..Default::default()
    });
    for channel in &night.channels {
        let values = night.read(&channel.name)?;
        found.channels.push(ChannelFigures {
            name: channel.name.clone(),
            unit: channel.unit.clone(),
            rate_hz: Some(channel.rate),
            figures: values.as_slice().map(Figures::of).unwrap_or_default(),
        });
    }
    match &night.hypnogram {
        Some(stages) => {
            let names = STAGES.map(String::from);
            let labels = stages.iter().map(|s| usize::try_from(*s).ok());
            found.classes = Some(ClassCounts::new(
                &format!("epochs of {EPOCH_SECONDS} s"),
                &names,
                labels,
            ));
        }
        None => found.warn("there is no hypnogram"),
    }
    if same.is_none() {
        found.warn("channels differ in sampling rate or length");
    }
    found.warn_of_channels();
    Ok(found)
}

fn clip(path: &Path) -> Result<Inspection> {
    let clip = Clip::open(path)?;
    let steps = clip.signal.ncols();
    let mut found = Inspection {
        format: "HDF5, a resampled recording of the seizure corpus".into(),
        time: Some(TimeFigures {
            steps: Some(steps as u64),
            rate_hz: Some(clip.rate),
            seconds: Some(steps as f64 / clip.rate),
            ..Default::default()
        }),
        ..Default::default()
    };
    let rows = clip.signal.rows().into_iter().enumerate();
    found.channels = rows
        .map(|(i, row)| ChannelFigures {
            name: format!("channel {i}"),
            rate_hz: Some(clip.rate),
            figures: Tally::of(row.iter().map(|v| f64::from(*v))).figures(),
            ..Default::default()
        })
        .collect();
    found.warn_of_channels();
    Ok(found)
}
