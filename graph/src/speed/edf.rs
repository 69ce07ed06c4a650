//! From EDF files to windows, step by step.

use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, Array3, Axis, s};

use super::Lap;
use crate::formats::biosignal::RecordingOptions;
use crate::formats::edf;
use crate::signal::resample::resample_poly;
use crate::signal::{Band, Filter};
use crate::{Error, Result};

/// EDF or BDF files, channels by name, to windows of 5 s without overlap, (samples, nodes, time):
/// band-passed from 0.5 to 45 Hz (Butterworth of order 4, forward and backward) and resampled to 200
/// Hz (polyphase). Beside it the time of each step, over all files.
///
/// # Errors
/// As [`edf::open`] and [`SignalFile::recordings`](crate::formats::biosignal::SignalFile::recordings);
/// [`Error::Config`] when the sampling rate does not let 45 Hz through.
pub fn edf_windows<P: AsRef<Path>>(
    paths: &[P],
    channels: &[&str],
) -> Result<(Array3<f32>, Vec<Lap>)> {
    const RATE: usize = 200;
    const WINDOW: usize = 5 * RATE;
    let mut laps = ["read", "filter", "resample", "window"].map(|step| Lap { step, seconds: 0.0 });
    let mut clock = Instant::now();
    let mut lap = |i: usize| {
        let now = Instant::now();
        laps[i].seconds += (now - clock).as_secs_f64();
        clock = now;
    };
    let options = RecordingOptions {
        channels: channels.iter().map(|c| c.to_string()).collect(),
        ..Default::default()
    };
    let mut signals: Vec<Array2<f32>> = Vec::new();
    for path in paths {
        let (_, recordings) = edf::recordings(path, &options)?;
        lap(0);
        for recording in recordings {
            let rate = recording.sampling_rate.unwrap_or(0.0);
            let mut signal = recording.signal.index_axis_move(Axis(2), 0);
            let filter = Filter::butterworth(4, Band::Bandpass(0.5, 45.0), rate)?;
            filter.sosfiltfilt(signal.view_mut());
            lap(1);
            if rate.fract() != 0.0 {
                return Err(Error::config(
                    "sampling_rate",
                    format!("is {rate}, no whole number"),
                    "measure on other files",
                ));
            }
            signals.push(resample_poly(signal.view(), RATE, rate as usize)?);
            lap(2);
        }
    }
    let count: usize = signals.iter().map(|x| x.ncols() / WINDOW).sum();
    let mut windows = Array3::zeros((count, channels.len(), WINDOW));
    let pieces = signals
        .iter()
        .flat_map(|x| (0..x.ncols() / WINDOW).map(move |i| (x, i * WINDOW)));
    for (mut window, (x, start)) in windows.outer_iter_mut().zip(pieces) {
        window.assign(&x.slice(s![.., start..start + WINDOW]));
    }
    lap(3);
    Ok((windows, laps.to_vec()))
}
