//! Speed of the signal processing on a recording of 19 channels, 500 Hz, 10 minutes; beside it
//! SciPy's on the same machine in the same run, where `PYTHON` names an interpreter that has it:
//! `PYTHON=python3 cargo bench -p tgmamba-graph --bench signal`.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use tgmamba_graph::signal::power::{Taper, welch};
use tgmamba_graph::signal::resample::{resample_fourier, resample_poly};
use tgmamba_graph::signal::spectrum::{Frames, short_time_fourier};
use tgmamba_graph::signal::{Band, Detrend, Filter, Initial, Sample, detrend};

const CHANNELS: usize = 19;
const RATE: usize = 500;
const SAMPLES: usize = RATE * 600;
const REPEATS: usize = 7;

fn main() {
    let x = Array2::from_shape_fn((CHANNELS, SAMPLES), |(v, t)| {
        let t = t as f64;
        (0.01 * t * (v + 1) as f64).sin() + 0.3 * (t * t * 0.001).cos()
    });
    let scipy = scipy();
    println!(
        "{CHANNELS} channels, {RATE} Hz, {SAMPLES} samples, {} threads; best of {REPEATS}",
        rayon::current_num_threads()
    );
    println!(
        "{:<22} {:>9} {:>9} {:>6} {:>11} {:>6}",
        "", "ours, ms", "SciPy, ms", "ratio", "2 threads", "ratio"
    );
    report("float64", operations(x.view()), &scipy);
    report("float32", operations(x.mapv(|v| v as f32).view()), &scipy);
}

fn operations<T: Sample>(x: ArrayView2<'_, T>) -> Vec<(&'static str, f64)> {
    let rate = RATE as f64;
    let (Ok(band), Ok(notch)) = (
        Filter::butterworth(4, Band::Bandpass(0.5, 40.0), rate),
        Filter::notch(50.0, 30.0, rate),
    ) else {
        return Vec::new();
    };
    let frames = Frames {
        length: 256,
        hop: 100,
        padded: true,
    };
    // Filters work in place: the copy is part of what is timed, as SciPy's is.
    let copied = |f: &dyn Fn(&mut Array2<T>)| {
        best(|| {
            let mut y = x.to_owned();
            f(&mut y);
            y
        })
    };
    vec![
        ("sosfiltfilt", copied(&|y| band.sosfiltfilt(y.view_mut()))),
        (
            "sosfilt",
            copied(&|y| band.sosfilt(y.view_mut(), Initial::Zero)),
        ),
        ("notch", copied(&|y| notch.sosfiltfilt(y.view_mut()))),
        ("resample_poly", best(|| resample_poly(x, 2, 5))),
        ("resample", best(|| resample_fourier(x, SAMPLES * 2 / 5))),
        (
            "stft",
            best(|| short_time_fourier(x, frames, Taper::Hamming)),
        ),
        ("welch", best(|| welch(x, rate, 512, 256, Taper::Hann))),
        (
            "detrend",
            copied(&|y| detrend(y.view_mut(), Detrend::Linear)),
        ),
    ]
}

fn best<R>(f: impl Fn() -> R) -> f64 {
    (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            black_box(f());
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn report(kind: &str, ours: Vec<(&str, f64)>, scipy: &HashMap<String, [f64; 2]>) {
    for (name, seconds) in ours {
        let name = format!("{name} {kind}");
        match scipy.get(&name) {
            None => println!("{name:<22} {:>9.1}", seconds * 1e3),
            Some([one, two]) => println!(
                "{name:<22} {:>9.1} {:>9.1} {:>6.1} {:>11.1} {:>6.1}",
                seconds * 1e3,
                one * 1e3,
                one / seconds,
                two * 1e3,
                two / seconds
            ),
        }
    }
}

/// Seconds of SciPy by operation, in one thread and in two.
fn scipy() -> HashMap<String, [f64; 2]> {
    let Ok(python) = std::env::var("PYTHON") else {
        println!("no PYTHON in the environment: without SciPy's figures");
        return HashMap::new();
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/signal_scipy.py");
    let arguments = [CHANNELS, RATE, SAMPLES, REPEATS].map(|n| n.to_string());
    let output = Command::new(&python).arg(&script).args(arguments).output();
    let parsed = output
        .map_err(|e| e.to_string())
        .and_then(|o| serde_json::from_slice(&o.stdout).map_err(|e| e.to_string()));
    parsed.unwrap_or_else(|e| {
        println!("{python} {}: {e}", script.display());
        HashMap::new()
    })
}
