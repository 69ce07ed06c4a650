#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::gdf;
use tgmamba_graph_fuzz::{LENIENT, use_signals};

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = gdf::parse(data, Path::new("fuzz")) {
        use_signals(&file);
    }
    if let Ok(file) = gdf::read(data, Path::new("fuzz"), LENIENT) {
        use_signals(&file);
    }
});
