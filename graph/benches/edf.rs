//! From EDF files to windows, beside MNE doing the same in the same run, where `PYTHON` names an
//! interpreter that has it:
//! `PYTHON=python3 cargo bench -p tgmamba-graph --bench edf -- FILE...`
//! (without files: the two recordings of eegmat beside the project).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tgmamba_graph::formats::npy::read_npy;
use tgmamba_graph::speed::edf_windows;

const CHANNELS: [&str; 19] = [
    "Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4", "T5", "T6", "P3", "P4", "O1",
    "O2", "Fz", "Cz", "Pz",
];
const REPEATS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .map(PathBuf::from)
        .collect();
    if paths.is_empty() {
        let folder = here.join("../../shared/data/eegmat_sample");
        paths = ["Subject00_1.edf", "Subject00_2.edf"]
            .map(|n| folder.join(n))
            .to_vec();
    }
    let (windows, mut laps) = edf_windows(&paths, &CHANNELS)?;
    let mut total = f64::INFINITY;
    for _ in 0..REPEATS {
        let (_, again) = edf_windows(&paths, &CHANNELS)?;
        total = total.min(again.iter().map(|l| l.seconds).sum());
        for (best, lap) in laps.iter_mut().zip(again) {
            best.seconds = best.seconds.min(lap.seconds);
        }
    }
    println!(
        "{} files to windows {:?}, {} threads; best of {REPEATS}, milliseconds",
        paths.len(),
        windows.dim(),
        rayon::current_num_threads()
    );
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("windows.npy");
    let mne = mne(here, &out, &paths);
    println!("{:<10} {:>8} {:>8} {:>6}", "", "ours", "MNE", "ratio");
    let line = |name: &str, seconds: f64, key: &str| match mne.get(key) {
        Some(theirs) => println!(
            "{name:<10} {:>8.1} {:>8.1} {:>6.1}",
            seconds * 1e3,
            theirs * 1e3,
            theirs / seconds
        ),
        None => println!("{name:<10} {:>8.1}", seconds * 1e3),
    };
    for lap in &laps {
        line(lap.step, lap.seconds, lap.step);
    }
    line("total", total, "total");
    line("two jobs", total, "two jobs");
    if out.is_file() {
        let theirs = read_npy(&out)?.into_f32(&out, "windows")?;
        if theirs.shape() != windows.shape() {
            println!("MNE has windows {:?}", theirs.shape());
            return Ok(());
        }
        let mut square = (0.0, 0.0);
        for (a, b) in windows.iter().zip(&theirs) {
            square.0 += f64::from(a - b).powi(2);
            square.1 += f64::from(*b).powi(2);
        }
        println!(
            "difference: {:.1e} of the signal's root mean square",
            (square.0 / square.1).sqrt()
        );
    }
    Ok(())
}

/// Seconds of MNE by step.
fn mne(here: &Path, out: &Path, paths: &[PathBuf]) -> HashMap<String, f64> {
    let Ok(python) = std::env::var("PYTHON") else {
        println!("no PYTHON in the environment: without MNE's figures");
        return HashMap::new();
    };
    let script = here.join("benches/edf_mne.py");
    let output = Command::new(&python)
        .arg(&script)
        .arg(REPEATS.to_string())
        .arg(out)
        .args(paths)
        .output();
    let parsed = output
        .map_err(|e| e.to_string())
        .and_then(|o| serde_json::from_slice(&o.stdout).map_err(|e| e.to_string()));
    parsed.unwrap_or_else(|e| {
        println!("{python} {}: {e}", script.display());
        HashMap::new()
    })
}
