#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::mat::Mat;

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    let Ok(mat) = Mat::parse(data, Path::new("fuzz")) else {
        return;
    };
    for name in mat.names().iter().take(50) {
        let _ = mat.read(name);
        let info = mat.info(name);
        for field in info.map(|i| i.fields).unwrap_or_default().iter().take(10) {
            let _ = mat.read(&format!("{name}.{field}"));
            let _ = mat.read(&format!("{name}(2).{field}"));
        }
        let _ = mat.read(&format!("{name}{{2}}"));
    }
});
