//! Aligned tables: plain text for the terminal, markdown for documents.

use super::{
    ClassScores, EpochRecord, FoldRecord, Summary, TestRecord, in_order, readable, summaries,
};

/// Rows of cells under a header. The first column is aligned left, the others right.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// Column names.
    pub header: Vec<String>,
    /// Rows; missing cells are empty, cells beyond the header are left out.
    pub rows: Vec<Vec<String>>,
}

/// A number with four decimals, or a dash if it is not finite.
pub fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        "–".to_string()
    }
}

fn optional(value: Option<f64>) -> String {
    number(value.unwrap_or(f64::NAN))
}

impl Table {
    /// An empty table with these columns.
    pub fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|h| h.to_string()).collect(),
            rows: Vec::new(),
        }
    }

    fn cell(row: &[String], column: usize) -> &str {
        row.get(column).map_or("", String::as_str)
    }

    fn widths(&self, of: impl Fn(&str) -> usize) -> Vec<usize> {
        (0..self.header.len())
            .map(|c| {
                let cells = self.rows.iter().map(|r| of(Self::cell(r, c)));
                cells.chain([of(&self.header[c])]).max().unwrap_or(0)
            })
            .collect()
    }

    fn line(row: &[String], widths: &[usize], map: impl Fn(&str) -> String) -> Vec<String> {
        let cells = widths.iter().enumerate().map(|(c, &width)| {
            let text = map(Self::cell(row, c));
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            if c == 0 { text + &pad } else { pad + &text }
        });
        cells.collect()
    }

    /// For the terminal: columns two spaces apart, the header underlined; ends with a line break.
    pub fn text(&self) -> String {
        let plain = |s: &str| s.replace(['\n', '\r', '\t'], " ");
        let widths = self.widths(|s| s.chars().count());
        let rule = widths.iter().map(|&w| "─".repeat(w)).collect::<Vec<_>>();
        let mut out = String::new();
        let lines = [Self::line(&self.header, &widths, plain), rule]
            .into_iter()
            .chain(self.rows.iter().map(|r| Self::line(r, &widths, plain)));
        for line in lines {
            out += line.join("  ").trim_end();
            out.push('\n');
        }
        out
    }

    /// For documents: a markdown table with pipes escaped; ends with a line break.
    pub fn markdown(&self) -> String {
        let escape = |s: &str| s.replace('|', "\\|").replace(['\n', '\r'], " ");
        let widths = self.widths(|s| escape(s).chars().count().max(4));
        let rule = widths.iter().enumerate().map(|(c, &w)| {
            if c == 0 {
                "-".repeat(w)
            } else {
                "-".repeat(w - 1) + ":"
            }
        });
        let rule: Vec<String> = rule.collect();
        let mut out = String::new();
        let lines = [Self::line(&self.header, &widths, escape), rule]
            .into_iter()
            .chain(self.rows.iter().map(|r| Self::line(r, &widths, escape)));
        for line in lines {
            out += &format!("| {} |\n", line.join(" | "));
        }
        out
    }
}

/// Metric, value and 95 % interval; of an undefined metric the reason.
pub fn test(test: &TestRecord) -> Table {
    let mut table = Table::new(&["metric", "value", "low", "high"]);
    for name in in_order(test.metrics.keys()) {
        let estimate = &test.metrics[name];
        let mut label = readable(name);
        if let Some(reason) = &estimate.undefined {
            label += &format!(" ({reason})");
        }
        table.rows.push(vec![
            label,
            optional(estimate.value),
            optional(estimate.low),
            optional(estimate.high),
        ]);
    }
    table
}

/// Precision, recall, F1 and support of each class.
pub fn per_class(scores: &[ClassScores], classes: &[String]) -> Table {
    let mut table = Table::new(&["class", "precision", "recall", "F1", "samples"]);
    for s in scores {
        let name = classes.get(s.class).cloned();
        table.rows.push(vec![
            name.unwrap_or_else(|| s.class.to_string()),
            number(s.precision),
            number(s.recall),
            number(s.f1),
            s.support.to_string(),
        ]);
    }
    table
}

/// A row per fold or seed, then mean and sample standard deviation.
pub fn folds(folds: &[FoldRecord]) -> Table {
    let summaries = summaries(folds);
    let mut header = vec!["run", "samples", "best epoch"];
    let keys = in_order(summaries.keys());
    let names: Vec<String> = keys.iter().map(|n| readable(n)).collect();
    header.extend(names.iter().map(String::as_str));
    let mut table = Table::new(&header);
    for fold in folds {
        let best = fold.best_epoch.map_or("–".to_string(), |e| e.to_string());
        let mut row = vec![fold.name.clone(), fold.samples.to_string(), best];
        row.extend(keys.iter().map(|n| optional(fold.metrics.get(*n).copied())));
        table.rows.push(row);
    }
    if folds.len() > 1 {
        let row = |label: &str, of: fn(&Summary) -> Option<f64>| {
            let labels = [label.to_string(), String::new(), String::new()];
            let values = keys.iter().map(|n| optional(of(&summaries[*n])));
            labels.into_iter().chain(values).collect()
        };
        table.rows.push(row("mean", |s| Some(s.mean)));
        table.rows.push(row("sd", |s| s.sd));
    }
    table
}

/// A row per epoch: losses, validation metrics, learning rate and seconds.
pub fn epochs(epochs: &[EpochRecord]) -> Table {
    let metrics = in_order(epochs.iter().flat_map(|e| e.metrics.keys()));
    let names: Vec<String> = metrics.iter().map(|n| readable(n)).collect();
    let mut header = vec!["epoch", "train loss", "val loss"];
    header.extend(names.iter().map(String::as_str));
    header.extend(["lr", "seconds"]);
    let mut table = Table::new(&header);
    for e in epochs {
        let mut row = vec![
            e.epoch.to_string(),
            number(e.train_loss),
            optional(e.val_loss),
        ];
        row.extend(metrics.iter().map(|n| optional(e.metrics.get(*n).copied())));
        row.push(if e.lr.is_finite() {
            format!("{:.2e}", e.lr)
        } else {
            "–".to_string()
        });
        row.push(if e.seconds.is_finite() {
            format!("{:.1}", e.seconds)
        } else {
            "–".to_string()
        });
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::Estimate;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", "n"]);
        table.rows.push(vec!["é".to_string(), "12345".to_string()]);
        table.rows.push(vec!["long | name".to_string()]);
        assert_eq!(
            table.text(),
            "name             n\n───────────  ─────\né            12345\nlong | name\n"
        );
        assert_eq!(
            table.markdown(),
            "| name         |     n |\n| ------------ | ----: |\n| é            | 12345 |\n\
             | long \\| name |       |\n"
        );
    }

    #[test]
    fn an_undefined_metric_shows_why() {
        let mut record = TestRecord::default();
        record.metrics.insert(
            "auroc".to_string(),
            Estimate {
                undefined: Some("class 1 does not occur in the targets".to_string()),
                ..Estimate::default()
            },
        );
        let text = test(&record).text();
        assert!(
            text.contains("AUROC (class 1 does not occur in the targets)"),
            "{text}"
        );
        assert!(!text.contains("NaN"), "{text}");
    }

    /// Accuracies 0.71 + 0.03 {0, 2, -1, 1, -2}: mean 0.71, sd 0.03 sqrt(10 / 4) = 0.0474.
    #[test]
    fn folds_end_with_mean_and_spread() {
        let table = folds(&sample::classifier().folds);
        assert_eq!(table.header[3], "accuracy");
        let last: Vec<&str> = table.rows[5..].iter().map(|r| r[3].as_str()).collect();
        assert_eq!(last, ["0.7100", "0.0474"]);
        assert_eq!(epochs(&sample::classifier().epochs).rows.len(), 30);
    }
}
