#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::pygt;

fuzz_target!(|data: &[u8]| {
    let _ = pygt::parse(data, Path::new("fuzz"));
});
