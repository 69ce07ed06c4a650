#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = tgmamba_graph::formats::tuh::parse(data, Path::new("fuzz"));
});
