//! Results for the terminal.

use std::collections::BTreeMap;

use super::Evaluation;
use crate::report::tables;
use crate::training::metrics::Summary;

impl Evaluation {
    /// Test metrics as a table for the terminal.
    pub fn text(&self) -> String {
        if let [only] = self.parts() {
            return format!(
                "test, {} windows (95 % bootstrap intervals)\n{}",
                only.test.samples,
                tables::test(&only.test).text()
            );
        }
        let mut table = tables::Table::new(&["metric", "parts", "seeds", "subjects"]);
        let cell = |column: &BTreeMap<String, Summary>, name: &String| {
            column.get(name).map(Summary::to_string).unwrap_or_default()
        };
        let summary = &self.summary;
        for name in summary.parts.keys() {
            table.rows.push(vec![
                name.clone(),
                cell(&summary.parts, name),
                cell(&summary.seeds, name),
                cell(&summary.subjects, name),
            ]);
        }
        format!(
            "test, mean ± sd over parts, seeds and subjects\n{}",
            table.text()
        )
    }
}
