//! Cache files with some bytes changed, and the end cut off: what arrives at random would hardly ever
//! be an Arrow file.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::cache::{Cache, CacheMode, CacheOptions, parse, parse_series};
use tgmamba_graph::datasets::{DatasetConfig, SeriesConfig, load_series_with, load_with};

/// Two recordings with a gap, in windows that overlap, or a series.
fn whole(series: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    write("a.csv", "p,q\n1,2\n3,4\n5,6\n7,8\n");
    write("b.csv", "p,q\n1,2\n,4\n5,6\n");
    write("m.csv", "file,label,subject\na.csv,x,s\nb.csv,y,t\n");
    let toml = "manifest = \"m.csv\"\nmissing = \"mask\"\n[window]\nlength = 2\nstride = 1\n\
                unit = \"samples\"\n";
    write("dataset.toml", toml);
    let config = DatasetConfig {
        name: folder.path().display().to_string(),
        ..Default::default()
    };
    let cache = folder.path().join("cache");
    let options = CacheOptions {
        mode: CacheMode::Always,
        folder: Some(cache.clone()),
    };
    if series {
        write(
            "dataset.toml",
            "files = \"a.csv\"\n[forecast]\nhistory = 1\nhorizon = 1\n",
        );
        let config = SeriesConfig {
            name: config.name,
            ..Default::default()
        };
        load_series_with(&config, &options).expect("a series");
    } else {
        load_with(&config, &options).expect("windows");
    }
    let entries = Cache::at(cache).list().expect("a list");
    std::fs::read(&entries[0].path).expect("a file")
}

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    static WHOLE: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    let series = data.first().is_some_and(|b| b % 2 == 1);
    let mut bytes = WHOLE[usize::from(series)]
        .get_or_init(|| whole(series))
        .clone();
    let mut changes = data.chunks_exact(3);
    for change in &mut changes {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    if let [cut] = changes.remainder() {
        bytes.truncate(bytes.len() - usize::from(*cut));
    }
    if let Ok((_, dataset)) = parse(&bytes, Path::new("fuzz")) {
        let n = dataset.x.len();
        let index: Vec<usize> = (0..n.min(4)).chain(n.checked_sub(1)).collect();
        if dataset.x.stored_bytes() < 1 << 16 {
            let _ = dataset.gather(&index);
        }
    }
    if let Ok((_, set)) = parse_series(&bytes, Path::new("fuzz")) {
        let _ = set.series.summary();
    }
    let _ = parse(data, Path::new("fuzz"));
});
