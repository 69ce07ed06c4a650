//! Finger movements (BCI Competition II, data set IV, 100 Hz): is the next key pressed with the
//! left or the right hand? 28 electrodes, half a second that ends 130 ms before the press.
//!
//! `sp1s_aa.mat` holds `x_train` (time, channels, trials), `y_train`, `x_test` and the channel
//! names `clab`; the labels of the test trials are in `labels_data_set_iv.txt`.

use std::path::Path;

use ndarray::{Axis, Ix3, s};

use super::{electrodes, find, labels};
use crate::formats::mat::Mat;
use crate::signal::FeatureConfig;
use crate::windows::RecordingSet;
use crate::{Error, Labels, Part, Recording, Result, fetch, files};

const RATE: f64 = 100.0;

/// What is slower than 7 Hz: the readiness potential over the opposite hemisphere.
pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        lowpass_hz: Some(7.0),
        ..Default::default()
    }
}

pub(super) fn read(data_dir: Option<&Path>) -> Result<RecordingSet> {
    let folder = find(
        data_dir,
        &["fingermovements", "finger-movements", "finger_movements"],
        "sp1s_aa.mat",
    )?;
    let path = folder.join("sp1s_aa.mat");
    let label_path = folder.join("labels_data_set_iv.txt");
    let mat = Mat::open(&path)?;
    let sensors: Vec<String> = mat
        .read("clab")?
        .into_text(&path, "clab")?
        .into_iter()
        .collect();
    let train_labels: Vec<String> = mat
        .read("y_train")?
        .into_text(&path, "y_train")?
        .into_iter()
        .collect();
    let test_labels = labels::read_text(&label_path)?;
    let mut recordings = Vec::new();
    for (variable, part, y, y_path) in [
        ("x_train", Part::Train, train_labels, &path),
        ("x_test", Part::Test, test_labels, &label_path),
    ] {
        let x = mat.read(variable)?.into_f32(&path, variable)?;
        let x = x
            .into_dimensionality::<Ix3>()
            .ok()
            .filter(|x| x.len_of(Axis(1)) == sensors.len())
            .ok_or_else(|| {
                Error::file(
                    &path,
                    variable,
                    format!("is not (time, {} channels, trials)", sensors.len()),
                    "fetch the original file again",
                )
            })?;
        if y.len() != x.len_of(Axis(2)) {
            return Err(Error::file(
                y_path,
                "labels",
                format!("{} labels for {} trials", y.len(), x.len_of(Axis(2))),
                "fetch the original files again",
            ));
        }
        for (i, (trial, label)) in x.axis_iter(Axis(2)).zip(&y).enumerate() {
            let class = match label.as_str() {
                "0" => 0,
                "1" => 1,
                other => {
                    return Err(Error::file(
                        y_path,
                        format!("label {i}"),
                        format!("is {other}, not 0 (left) or 1 (right)"),
                        "fetch the original file again",
                    ));
                }
            };
            recordings.push(Recording {
                name: format!("{variable}/{i}"),
                signal: trial.t().slice(s![.., .., ndarray::NewAxis]).to_owned(),
                mask: None,
                sampling_rate: Some(RATE),
                labels: Labels::Whole(class),
                subject: Some("aa".into()),
                session: None,
                part: Some(part),
            });
        }
    }
    let mut sources = vec![files::source_file(&path)?, files::source_file(&label_path)?];
    let (positions, table) = electrodes::standard(data_dir, &folder, &sensors)?;
    sources.extend(table);
    Ok(RecordingSet {
        info: fetch::info("finger-movements").unwrap_or_default(),
        sensors,
        positions: Some(positions),
        adjacency: None,
        classes: vec!["left".into(), "right".into()],
        recordings,
        sources,
    })
}
