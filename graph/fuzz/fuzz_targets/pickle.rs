#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::pickle::{Pickle, adjacency};

fuzz_target!(|data: &[u8]| {
    let path = Path::new("fuzz");
    let _ = Pickle::parse_partly(data, path);
    let Ok(pickle) = Pickle::parse(data, path) else {
        return;
    };
    let root = pickle.root();
    let mut values = vec![root];
    values.extend(root.items().unwrap_or_default());
    values.extend(
        root.entries()
            .unwrap_or_default()
            .into_iter()
            .map(|(_, v)| v),
    );
    for value in values.iter().take(50) {
        let _ = (value.text(), value.kind());
        let _ = value.array("fuzz");
        let _ = value.sparse("fuzz");
    }
    let _ = adjacency(&pickle);
});
