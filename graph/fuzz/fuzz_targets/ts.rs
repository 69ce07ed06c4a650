#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::ts;

fuzz_target!(|data: &[u8]| {
    let _ = ts::parse(data, Path::new("fuzz"));
});
