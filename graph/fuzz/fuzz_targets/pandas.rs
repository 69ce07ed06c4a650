#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::pandas::Store;

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    let Ok(store) = Store::parse(data, Path::new("fuzz")) else {
        return;
    };
    for key in store.keys().unwrap_or_default().iter().take(10) {
        if let Ok(frame) = store.frame(Some(key)) {
            let _ = frame.read();
            let _ = frame.read_rows(0..frame.rows().min(2));
        }
    }
});
