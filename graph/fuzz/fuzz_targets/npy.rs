#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::npy::{self, Npz};

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    let path = Path::new("fuzz");
    let _ = npy::parse(data, path);
    if let Ok(mut npz) = Npz::parse(data, path) {
        for name in npz.names().iter().take(50) {
            let _ = npz.read(name);
            let _ = npz.read_f32(name);
        }
    }
});
