#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::arff;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = arff::parse(data, Path::new("fuzz")) {
        let _ = file.numbers();
        let _ = file.into_ts(Path::new("fuzz"));
    }
});
