//! How fast batches come out of a warm cache, against a plain copy of memory in the same run.
//!
//! `cargo run --release -p tgmamba-graph --example loader_bench [SECONDS]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array1, Array3};
use tgmamba_graph::Result;
use tgmamba_graph::cache::{CacheMode, CacheOptions};
use tgmamba_graph::datasets::{DatasetConfig, load_with};
use tgmamba_graph::formats::npy::write_npz;
use tgmamba_graph::loader::{AugmentConfig, Loader, LoaderConfig, Sampling, throughput};
use tgmamba_graph::scale::{ScaleConfig, Scaler};

/// What is loaded: a name, (sensors, steps) of the recordings, their number, window and stride,
/// rows of a batch.
type Case = (&'static str, (usize, usize), usize, (usize, usize), usize);

const CASES: &[Case] = &[
    (
        "EEG, 19 x 2000 raw, overlapping by half",
        (19, 200_000),
        16,
        (2000, 1000),
        32,
    ),
    (
        "EEG, 19 x 2000 raw, whole recordings",
        (19, 2_000),
        1_600,
        (2000, 2000),
        32,
    ),
    (
        "traffic, 207 x 24, one step apart",
        (207, 34_272),
        4,
        (24, 1),
        64,
    ),
    (
        "traffic, 8600 x 24, one step apart",
        (8_600, 2_000),
        4,
        (24, 1),
        16,
    ),
];

fn main() -> Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(2.0);
    let time = Duration::from_secs_f64(seconds);
    let folder = tempfile::tempdir().map_err(|e| tgmamba_graph::Error::io("temporary", e))?;
    println!("threads {}", rayon::current_num_threads());
    println!(
        "{:<42} {:>12} {:>9} {:>9} {:>9} {:>6}",
        "", "batch", "cached s", "GB/s", "copy", "ratio"
    );
    for (name, (v, t), count, (length, stride), rows) in CASES {
        let place = folder
            .path()
            .join(name.replace(|c: char| !c.is_alphanumeric(), "-"));
        std::fs::create_dir_all(&place).map_err(|e| tgmamba_graph::Error::io(&place, e))?;
        let per_file = (*count).min(4);
        for file in 0..count / per_file {
            let x = Array3::from_shape_fn((per_file, *v, *t), |(n, v, t)| {
                ((n * 31 + v * 17 + t * 7 + file) % 1013) as f32 / 100.0
            });
            let y = Array1::from_shape_fn(per_file, |n| (n % 2) as f32);
            let arrays = [("x", x.into_dyn()), ("y", y.into_dyn())];
            write_npz(place.join(format!("{file}.npz")), &arrays)?;
        }
        let toml = format!(
            "files = \"*.npz\"\nlayout = \"samples nodes time\"\n[window]\nlength = {length}\n\
             stride = {stride}\nunit = \"samples\"\n"
        );
        let path = place.join("dataset.toml");
        std::fs::write(&path, toml).map_err(|e| tgmamba_graph::Error::io(&path, e))?;
        let config = DatasetConfig {
            name: place.display().to_string(),
            ..Default::default()
        };
        let options = CacheOptions {
            mode: CacheMode::Always,
            folder: Some(folder.path().join("cache")),
        };
        load_with(&config, &options)?;
        let started = Instant::now();
        let mut data = load_with(&config, &options)?;
        let cached = started.elapsed();
        let all: Vec<usize> = (0..data.x.len()).collect();
        let cfg = LoaderConfig {
            batch_size: *rows,
            ..Default::default()
        };
        let plain = Loader::new(Arc::new(data.clone()), all.clone(), cfg.clone())?;
        Scaler::fit(&data, &all[..all.len().min(64)], ScaleConfig::Standard)?
            .apply_dataset(&mut data)?;
        let scaled = Loader::new(Arc::new(data.clone()), all.clone(), cfg.clone())?;
        let in_order = LoaderConfig {
            sampling: Sampling::Sequential,
            ..cfg.clone()
        };
        let in_order = Loader::new(Arc::new(data.clone()), all.clone(), in_order)?;
        let augment = AugmentConfig {
            time_shift: 4,
            amplitude: 0.1,
            ..Default::default()
        };
        let augmented = Loader::new(Arc::new(data), all, LoaderConfig { augment, ..cfg })?;
        for (what, loader) in [
            (*name, &plain),
            ("  scaled", &scaled),
            ("  scaled, in order", &in_order),
            ("  scaled, shifted, amplified", &augmented),
        ] {
            let figures = throughput(loader, time);
            println!(
                "{:<42} {:>9.2} MB {:>9.4} {:>9.2} {:>9.2} {:>6.2}",
                what,
                figures.batch_bytes as f64 / 1e6,
                cached.as_secs_f64(),
                figures.loaded / 1e9,
                figures.copied / 1e9,
                figures.ratio()
            );
        }
        std::fs::remove_dir_all(&place).map_err(|e| tgmamba_graph::Error::io(&place, e))?;
    }
    Ok(())
}
