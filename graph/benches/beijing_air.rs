//! Speed of text tables: the zip of beijing-air (twelve CSV files, 32.5 MB) to values and mask;
//! beside it pandas on the same machine in the same run, where `PYTHON` names an interpreter that
//! has it:
//! `PYTHON=python3 DATA_DIR=../shared/data cargo bench -p tgmamba-graph --bench beijing_air`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tgmamba_graph::Result;
use tgmamba_graph::datasets::{SeriesConfig, SeriesSet, load_series};
use tgmamba_graph::formats::npy::write_npz;

const REPEATS: usize = 7;

fn main() -> Result<()> {
    let dir = std::env::var_os("DATA_DIR").map(PathBuf::from);
    // Benchmarks run in the folder of the crate.
    let dir = dir.map(|d| match d.is_relative() {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(d),
        false => d,
    });
    let config = SeriesConfig {
        name: "beijing-air".into(),
        data_dir: dir,
        clock: None,
    };
    let set = load_series(&config)?;
    let best = || {
        (0..REPEATS).try_fold(f64::INFINITY, |best, _| {
            let start = Instant::now();
            let _ = load_series(&config)?;
            Result::Ok(best.min(start.elapsed().as_secs_f64()))
        })
    };
    let ours = best()?;
    let threads = rayon::current_num_threads();
    println!("beijing-air, zip to tensor and mask; best of {REPEATS}");
    println!("ours, {threads} threads (SHA-256, graph and positions included): {ours:.3} s");
    if let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        println!("ours, 1 thread: {:.3} s", pool.install(best)?);
    }
    match pandas(&set) {
        None => println!("pandas: set PYTHON to an interpreter that has it"),
        Some(p) => {
            for (name, key) in [("1 thread", "one"), ("2 threads", "two")] {
                let seconds = p[key].as_f64().unwrap_or(f64::NAN);
                println!(
                    "pandas {}, {name}: {seconds:.3} s, ratio {:.1}",
                    p["version"].as_str().unwrap_or("?"),
                    seconds / ours
                );
            }
            println!("largest difference: {}", p["difference"]);
        }
    }
    Ok(())
}

/// What the script beside this file finds, `None` without an interpreter.
fn pandas(set: &SeriesSet) -> Option<serde_json::Value> {
    let python = std::env::var_os("PYTHON")?;
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("ours.npz");
    let values = set.series.values.clone().into_dyn();
    let observed = set.series.observed.as_ref()?;
    let observed = observed.mapv(|seen| f32::from(u8::from(seen))).into_dyn();
    write_npz(&path, &[("values", values), ("observed", observed)]).ok()?;
    let zip = &set.series.sources.first()?.path;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/beijing_air_pandas.py");
    let out = Command::new(python)
        .arg(script)
        .arg(zip)
        .arg(REPEATS.to_string())
        .arg(&path)
        .output()
        .ok()?;
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).ok()
}
