//! The pipelines of the reference, end to end: small files in the layouts of the data sets' owners
//! (`tests/fixtures/pipelines`), against what an independent program in Python computed from the
//! text of the protocols.

mod bcicha;
mod dodh;
mod mamem;
mod tusz;
mod whole;

use std::path::Path;

use serde_json::Value;
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::datasets::{DatasetConfig, load_with};
use tgmamba_graph::{Dataset, Part};

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/pipelines")
        .join(name)
}

/// The files of a zip, in a folder of their own below `inside`.
fn unpacked(name: &str, inside: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let zip = std::fs::File::open(fixture(name)).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    zip.extract(folder.path().join(inside)).unwrap();
    folder
}

/// The folder of the files that do not ship, where it is there.
fn shared_data() -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn record(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// What a configuration in TOML makes of the files in `folder`.
fn loaded(folder: &Path, toml: &str) -> tgmamba_graph::Result<Dataset> {
    load_with(&config(folder, toml), &CacheOptions::off())
}

fn config(folder: &Path, toml: &str) -> DatasetConfig {
    let config: DatasetConfig = toml::from_str(toml).unwrap();
    DatasetConfig {
        data_dir: Some(folder.to_path_buf()),
        ..config
    }
}

fn failure(folder: &Path, toml: &str) -> String {
    loaded(folder, toml).map(|_| ()).unwrap_err().to_string()
}

fn indices(value: &Value) -> Vec<usize> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|v| v.as_u64().unwrap() as usize).collect()
}

/// Compares shape, labels, parts, subjects, masks and values with what is expected; gives the
/// largest difference of values, absolute below 1 and relative above.
fn compare(data: &Dataset, want: &Value) -> f64 {
    let (n, v, l, f) = data.x.dim();
    assert_eq!(vec![n, v, l, f], indices(&want["shape"]));
    assert_eq!(data.y, indices(&want["y"]));
    if let Some(parts) = want["parts"].as_array() {
        let name = |part: &Option<Part>| match part {
            Some(Part::Train) => "train",
            Some(Part::Validation) => "validation",
            Some(Part::Test) => "test",
            None => "none",
        };
        let found: Vec<&str> = data.part.iter().map(name).collect();
        let parts: Vec<&str> = parts.iter().map(|p| p.as_str().unwrap()).collect();
        assert_eq!(found, parts);
    }
    if let Some(subjects) = want["subjects"].as_array() {
        let subjects: Vec<&str> = subjects.iter().map(|p| p.as_str().unwrap()).collect();
        assert_eq!(data.subject.as_ref().unwrap(), &subjects);
    }
    if !want["seen"].is_null() {
        let mask = data.mask.as_ref().unwrap();
        let seen: Vec<usize> = (0..n)
            .map(|i| mask.window(i).iter().filter(|s| **s).count())
            .collect();
        assert_eq!(seen, indices(&want["seen"]));
    }
    let x = data.x.to_array();
    let mut worst = 0f64;
    let values = want["values"].as_array().unwrap();
    for (at, value) in want["at"].as_array().unwrap().iter().zip(values) {
        let at = indices(at);
        let value = value.as_f64().unwrap();
        let found = f64::from(x[[at[0], at[1], at[2], at[3]]]);
        let off = (found - value).abs() / value.abs().max(1.0);
        assert!(
            off.is_finite() && off < 1e-3,
            "{at:?}: {found}, not {value}"
        );
        worst = worst.max(off);
    }
    let sum: f64 = x.iter().map(|v| f64::from(v.abs())).sum();
    let want = want["sum"].as_f64().unwrap();
    assert!((sum - want).abs() < 1e-5 * want, "sum {sum}, not {want}");
    worst
}
