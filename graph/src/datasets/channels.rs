//! The choice of channels.

use ndarray::Axis;

use crate::electrodes::normalise_channel_name;
use crate::windows::RecordingSet;
use crate::{Error, Result};

/// Keeps the channels of these names in this order; all where there is none. A name is compared as
/// it is first, then in its one spelling ([`normalise_channel_name`]).
///
/// # Errors
/// [`Error::Unknown`] for a name that is not there, [`Error::Config`] for one that is given twice.
pub(super) fn keep(set: &mut RecordingSet, channels: &[String]) -> Result<()> {
    if channels.is_empty() {
        return Ok(());
    }
    let mut index = Vec::with_capacity(channels.len());
    for name in channels {
        let spelled = normalise_channel_name(name);
        let sensors = || set.sensors.iter();
        let same = sensors().position(|s| s == name);
        let alike = || sensors().position(|s| normalise_channel_name(s) == spelled);
        let Some(found) = same.or_else(alike) else {
            let known: Vec<&str> = sensors().map(String::as_str).collect();
            return Err(Error::unknown("channel", name, &known));
        };
        if index.contains(&found) {
            return Err(Error::config(
                "dataset.channels",
                format!("{name} is there twice"),
                "give every channel once",
            ));
        }
        index.push(found);
    }
    set.sensors = index.iter().map(|i| set.sensors[*i].clone()).collect();
    set.positions = set.positions.take().map(|p| p.select(Axis(0), &index));
    set.adjacency = set
        .adjacency
        .take()
        .map(|a| a.select(Axis(0), &index).select(Axis(1), &index));
    for r in &mut set.recordings {
        if index.iter().all(|i| *i < r.signal.len_of(Axis(0))) {
            r.signal = r.signal.select(Axis(0), &index);
            r.mask = r.mask.take().map(|m| m.select(Axis(0), &index));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, arr2};

    use super::*;
    use crate::{DatasetInfo, Labels, Recording};

    #[test]
    fn nodes_in_the_order_asked_for() {
        let mut set = RecordingSet {
            info: DatasetInfo::default(),
            sensors: ["Fz", "T7", "Cz"].map(String::from).to_vec(),
            positions: Some(arr2(&[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])),
            adjacency: Some(Array2::from_shape_fn((3, 3), |(i, j)| (10 * i + j) as f32)),
            classes: Vec::new(),
            recordings: vec![Recording {
                name: "r".into(),
                signal: Array3::from_shape_fn((3, 2, 1), |(v, t, _)| (10 * v + t) as f32),
                mask: None,
                sampling_rate: None,
                labels: Labels::None,
                subject: None,
                session: None,
                part: None,
            }],
            sources: Vec::new(),
        };
        for (names, expected) in [(["Fz", "x"], "unknown channel"), (["Fz", "FZ"], "twice")] {
            let error = keep(&mut set.clone(), &names.map(String::from)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        keep(&mut set, &["CZ".into(), "T3".into()]).unwrap();
        assert_eq!(set.sensors, ["Cz", "T7"]);
        assert_eq!(set.positions, Some(arr2(&[[2.0, 0.0], [1.0, 0.0]])));
        assert_eq!(set.adjacency, Some(arr2(&[[22.0, 21.0], [12.0, 11.0]])));
        assert_eq!(set.recordings[0].signal[[0, 1, 0]], 21.0);
        let whole = set.sensors.clone();
        keep(&mut set, &[]).unwrap();
        assert_eq!(set.sensors, whole);
    }
}
