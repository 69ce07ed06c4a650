//! A stretch of one recording, with the graph that training would use.

use ndarray::{Axis, s};

use super::stretch::{finish, stretch};
use super::{Clock, Excerpt, ExcerptOptions};
use crate::inspect::Figures;
use crate::signal::FeatureConfig;
use crate::topology::{GraphConfig, build, layout_2d};
use crate::windows::{Missing, RecordingSet, WindowConfig, cut};
use crate::{Error, Labels, Recording, Result};

/// Takes a stretch of one recording; see [`excerpt`](super::excerpt).
///
/// # Errors
/// As [`excerpt`](super::excerpt).
pub fn of_recordings(mut set: RecordingSet, options: &ExcerptOptions) -> Result<Excerpt> {
    let all = set.recordings.len();
    let class = |r: &Recording| match &r.labels {
        Labels::Whole(class) => Some(*class),
        _ => None,
    };
    let last = set.classes.len().checked_sub(1);
    let usual = set
        .recordings
        .iter()
        .position(|r| last.is_some() && class(r) == last);
    let at = options.recording.or(usual).unwrap_or(0);
    if at >= all {
        return Err(Error::config(
            "recording",
            format!("there is no recording {at} of {all}"),
            "count from 0",
        ));
    }
    let r = set.recordings.swap_remove(at);
    let rate = r.sampling_rate;
    let range = stretch(r.signal.dim().1, rate, options)?;
    let features = r.signal.dim().2;
    let feature = match &options.quantity {
        None => 0,
        Some(text) => text.parse().ok().filter(|f| *f < features).ok_or_else(|| {
            let known: Vec<String> = (0..features).map(|f| f.to_string()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Error::unknown("feature", text, &known)
        })?,
    };
    let signal = r
        .signal
        .slice(s![.., range.clone(), feature..=feature])
        .to_owned();
    let mask = r
        .mask
        .as_ref()
        .map(|m| m.slice(s![.., range.clone()]).to_owned());
    let mut values = signal.index_axis(Axis(2), 0).to_owned();
    if let Some(mask) = &mask {
        values.zip_mut_with(mask, |v, seen| *v = if *seen { *v } else { f32::NAN });
    }
    let mut title = match r.name.as_str() {
        name if name == set.info.name || all == 1 => set.info.name.clone(),
        name => format!("{}, {name}", set.info.name),
    };
    if let Some(name) = class(&r).and_then(|c| set.classes.get(c)) {
        title += &format!(", class {name}");
    }
    set.classes.clear();
    set.recordings = vec![Recording {
        signal,
        mask,
        labels: Labels::None,
        ..r
    }];
    let dataset = cut(
        set,
        &WindowConfig::default(),
        &FeatureConfig::default(),
        Missing::Mask,
    )?;
    let config = GraphConfig::for_dataset(&dataset);
    let graph = build(&config, &dataset, &[0])?;
    let head = dataset.positions.as_ref().is_some_and(|p| p.ncols() == 3);
    let mut quantity = match (features, head) {
        (1, false) => "value".to_string(),
        (1, true) => "voltage".to_string(),
        _ => format!("feature {feature}"),
    };
    if head {
        // Electrodes have offsets that would hide what they measure.
        for mut row in values.rows_mut() {
            let mean = Figures::of(&row.to_vec()).mean.unwrap_or(0.0) as f32;
            row.mapv_inplace(|v| v - mean);
        }
        quantity += " about its mean";
    }
    let per_unit = rate.unwrap_or(1.0);
    finish(
        Excerpt {
            title,
            quantity,
            layout: layout_2d(&graph),
            head,
            edges: graph.edges(),
            edges_from: match config {
                GraphConfig::Given {} => "given with the data".into(),
                GraphConfig::Gaussian { .. } => "Gaussian kernel of the distances".into(),
                GraphConfig::Correlation { .. } => "correlations of this stretch".into(),
                _ => "none".into(),
            },
            shown: Vec::new(),
            times: range.map(|t| t as f64 / per_unit).collect(),
            clock: if rate.is_some() {
                Clock::Seconds
            } else {
                Clock::Steps
            },
            values,
            moment: 0,
            sensors: dataset.sensors,
        },
        &options.sensors,
    )
}
