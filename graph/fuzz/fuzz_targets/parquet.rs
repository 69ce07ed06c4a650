#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::Panel;
use tgmamba_graph::table;
use tgmamba_graph_fuzz::long;

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    let path = Path::new("fuzz");
    if let Ok(table) = table::parse_parquet(data, path) {
        let _ = Panel::wide(&table, path, &Default::default());
        let _ = Panel::long(&table, path, &long(&table));
    }
});
