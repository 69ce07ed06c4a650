//! How fast files of containers are read whole, as `f32`:
//! `cargo run --release -p tgmamba-graph --example read_speed -- FILE...`
//!
//! Each file is read three times; the fastest counts. `read_speed.py` beside this file makes files to
//! try and reads them with pandas, NumPy and pyarrow.

use std::path::Path;
use std::time::Instant;

use tgmamba_graph::formats::npy::{Npz, read_npy_f32};
use tgmamba_graph::formats::pandas::Store;
use tgmamba_graph::formats::panel::{Panel, Wide};
use tgmamba_graph::{Result, table};

/// Number of values in a file, and their sum: a check that both programs read the same.
fn read(path: &Path) -> Result<(usize, f64)> {
    let sum = |v: &[f32]| {
        v.iter()
            .filter(|v| v.is_finite())
            .map(|v| f64::from(*v))
            .sum()
    };
    Ok(match path.extension().and_then(|e| e.to_str()) {
        Some("h5") => {
            let values = Store::open(path)?.frame(None)?.read()?;
            (values.len(), sum(values.as_slice().unwrap_or_default()))
        }
        Some("npz") => {
            let values = Npz::open(path)?.read_f32("data")?;
            (values.len(), sum(values.as_slice().unwrap_or_default()))
        }
        Some("npy") => {
            let values = read_npy_f32(path)?;
            (values.len(), sum(values.as_slice().unwrap_or_default()))
        }
        _ => {
            let panel = Panel::wide(&table::read(path)?, path, &Wide::default())?;
            (
                panel.values.len(),
                sum(panel.values.as_slice().unwrap_or_default()),
            )
        }
    })
}

fn main() {
    for path in std::env::args_os().skip(1) {
        let path = Path::new(&path);
        let mut best = f64::INFINITY;
        let mut found = Ok((0, 0.0));
        for _ in 0..3 {
            let start = Instant::now();
            found = read(path);
            best = best.min(start.elapsed().as_secs_f64());
        }
        match found {
            Ok((n, sum)) => {
                let megabytes = n as f64 * 4e-6;
                println!(
                    "{}: {n} values, sum {sum:.6e}, {best:.3} s, {:.0} MB of f32 per second",
                    path.display(),
                    megabytes / best
                );
            }
            Err(e) => println!("{e}"),
        }
    }
}
