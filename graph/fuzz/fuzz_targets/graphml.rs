#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::graphml;

fuzz_target!(|data: &[u8]| {
    if let Ok(graph) = graphml::parse(data, Path::new("fuzz")) {
        let _ = graph.to_csr("weight", Path::new("fuzz"));
        let _ = graph.positions();
    }
});
