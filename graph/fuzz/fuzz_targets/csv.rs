#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::csv::{CsvConfig, TimeColumns, parse_cells, parse_table};

fuzz_target!(|data: &[u8]| {
    let path = Path::new("fuzz");
    for header in [true, false] {
        for comment in [None, Some('#')] {
            let config = CsvConfig {
                header,
                comment,
                ..Default::default()
            };
            let cells = parse_cells(data, path, &config);
            let _ = parse_table(data, path, &config);
            // The first column as time, the last as words.
            let Ok(cells) = cells else { continue };
            let config = CsvConfig {
                time: cells.names.first().cloned().map(TimeColumns::Stamp),
                text: cells
                    .names
                    .iter()
                    .skip(1)
                    .next_back()
                    .cloned()
                    .into_iter()
                    .collect(),
                ..config
            };
            let _ = parse_table(data, path, &config);
        }
    }
});
