#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::distances;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("fuzz");
    let _ = distances::parse_ids(data, path);
    if let Ok(list) = distances::parse(data, path) {
        let sensors: Vec<String> = list.edges.iter().map(|e| e.0.clone()).collect();
        let _ = list.among(&sensors, distances::Unlisted::Skip, path);
    }
});
