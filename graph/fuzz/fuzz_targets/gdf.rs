#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::gdf;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = gdf::parse(data, Path::new("fuzz")) else {
        return;
    };
    let channels: Vec<usize> = (0..file.channels.len()).collect();
    for part in &file.segments {
        let _ = file.read(&channels, part);
    }
    let _ = file.recordings(&Default::default());
});
