//! BasicMotions of the UEA archive: a smart watch, four activities. It ships with the project.

use std::path::Path;

use ndarray::{Axis, s};

use super::find;
use crate::formats::ts;
use crate::signal::FeatureConfig;
use crate::windows::RecordingSet;
use crate::{Error, Labels, Part, Recording, Result, fetch, files};

const SENSORS: [&str; 6] = [
    "accelerometer x",
    "accelerometer y",
    "accelerometer z",
    "gyroscope x",
    "gyroscope y",
    "gyroscope z",
];

/// The samples as they are: how strong a motion is tells activities apart.
pub(super) fn features() -> FeatureConfig {
    FeatureConfig::default()
}

pub(super) fn read(data_dir: Option<&Path>) -> Result<RecordingSet> {
    let folder = find(
        data_dir,
        &["basic-motions", "basicmotions", "BasicMotions"],
        "BasicMotions_TRAIN.ts",
    )?;
    let mut classes = Vec::new();
    let mut recordings = Vec::new();
    let mut sources = Vec::new();
    for (name, part) in [("TRAIN", Part::Train), ("TEST", Part::Test)] {
        let path = folder.join(format!("BasicMotions_{name}.ts"));
        let file = ts::read(&path)?;
        if file.x.len_of(Axis(1)) != SENSORS.len() {
            return Err(Error::file(
                &path,
                "@dimensions",
                format!(
                    "{} dimensions, not {}",
                    file.x.len_of(Axis(1)),
                    SENSORS.len()
                ),
                "fetch the original file again",
            ));
        }
        if classes.is_empty() {
            classes = file.classes;
        } else if classes != file.classes {
            return Err(Error::file(
                &path,
                "@classLabel",
                "other classes than in the training file",
                "fetch the original files again",
            ));
        }
        for (i, (x, y)) in file.x.outer_iter().zip(file.y).enumerate() {
            recordings.push(Recording {
                name: format!("{}/{i}", name.to_lowercase()),
                signal: x.slice(s![.., .., ndarray::NewAxis]).to_owned(),
                mask: None,
                sampling_rate: Some(10.0),
                labels: Labels::Whole(y),
                subject: None,
                session: None,
                part: Some(part),
            });
        }
        sources.push(files::source_file(path)?);
    }
    Ok(RecordingSet {
        info: fetch::info("basic-motions").unwrap_or_default(),
        sensors: SENSORS.map(String::from).to_vec(),
        positions: None,
        adjacency: None,
        classes,
        recordings,
        sources,
    })
}
