//! `data inspect`: what was understood of a file, a folder or a data set.

use clap::Args;
use tgmamba_graph::inspect::{
    ArrayFigures, ChannelFigures, ClassCounts, Figures, GraphFigures, InspectOptions, Inspection,
    TimeFigures, inspect,
};

use super::Reading;
use super::text::{bytes, duration, number, percent, whole};
use crate::error::{Error, Result};
use crate::report::tables::Table;

/// Rows of a table that are shown without --all.
const ROWS: usize = 32;
/// Breaks that are listed.
const GAPS: usize = 5;

/// Print what a file, a folder with a dataset.toml or a named data set holds
///
/// The format is found by the first bytes of a file, then by its extension.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A file, a folder with a dataset.toml, or the name of a data set
    #[arg(value_name = "PATH|NAME")]
    target: String,
    /// Print one JSON object with everything
    #[arg(long)]
    json: bool,
    /// Show all channels
    #[arg(long)]
    all: bool,
    /// Read files that are cut short or damaged as far as they go
    #[arg(long)]
    accept_damaged: bool,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &InspectArgs) -> Result<()> {
    let options = InspectOptions {
        accept_damaged: args.accept_damaged,
        ..args.reading.options()
    };
    let found = inspect(&args.target, &options)?;
    if args.json {
        let text = serde_json::to_string_pretty(&found)
            .map_err(|e| Error::config("--json", e.to_string(), "report this as a fault"))?;
        say!("{text}");
        return Ok(());
    }
    say!(
        "{}",
        describe(&found, if args.all { usize::MAX } else { ROWS }).trim_end()
    );
    Ok(())
}

/// The whole description, a paragraph for each part.
fn describe(found: &Inspection, rows: usize) -> String {
    let mut parts = vec![head(found)];
    parts.extend(found.time.as_ref().map(time));
    parts.extend(
        found
            .missing_share()
            .map(|s| format!("missing values: {}\n", percent(s))),
    );
    parts.extend(section("arrays", arrays(&found.arrays, rows)));
    for array in found.arrays.iter().filter(|a| !a.words.is_empty()) {
        let more = if array.different > array.words.len() {
            ", ..."
        } else {
            ""
        };
        let words = array.words.join(", ");
        parts.push(format!(
            "{}, {} different: {words}{more}\n",
            array.name, array.different
        ));
    }
    if found.quantities.len() > 1 {
        parts.extend(section(
            "quantities over all channels",
            channels(&found.quantities, rows),
        ));
    }
    let unit = found.channels.first().map_or("", |c| c.unit.as_str());
    let title = match found.channels.iter().all(|c| c.unit == unit) {
        true if !unit.is_empty() => format!("channels, {unit}"),
        _ => "channels".into(),
    };
    parts.extend(section(&title, channels(&found.channels, rows)));
    parts.extend(found.classes.as_ref().map(classes));
    if !found.annotations.is_empty() {
        let mut table = Table::new(&["annotation", "count", "duration", "first at"]);
        for a in found.annotations.iter().take(rows) {
            let text = if a.text.is_empty() {
                "(no text)"
            } else {
                &a.text
            };
            table.rows.push(vec![
                text.to_string(),
                whole(a.count),
                duration(a.seconds),
                duration(a.first),
            ]);
        }
        parts.extend(section("annotations", (table, found.annotations.len())));
    }
    parts.extend(found.graph.as_ref().map(graph));
    if !found.warnings.is_empty() {
        let lines: Vec<String> = found
            .warnings
            .iter()
            .map(|w| format!("  ! {w}\n"))
            .collect();
        parts.push(format!("warnings\n{}", lines.concat()));
    }
    parts.join("\n")
}

fn head(found: &Inspection) -> String {
    let mut text = format!(
        "{}: {}, {}\n",
        found.source,
        found.format,
        bytes(found.bytes)
    );
    let width = found
        .facts
        .iter()
        .map(|f| f.name.chars().count())
        .max()
        .unwrap_or(0);
    for fact in &found.facts {
        text += &format!("  {:width$}  {}\n", fact.name, fact.value);
    }
    text
}

fn time(time: &TimeFigures) -> String {
    let mut said = Vec::new();
    said.extend(time.steps.map(|n| format!("{} steps", whole(n))));
    match (&time.step, time.rate_hz) {
        (Some(step), _) => said.push(format!(
            "one every {}",
            step.strip_prefix("1 ").unwrap_or(step)
        )),
        (None, Some(rate)) => said.push(format!("{} Hz", number(Some(rate)))),
        (None, None) => {}
    }
    said.extend(time.seconds.map(duration));
    match (&time.start, &time.end) {
        (Some(start), Some(end)) => said.push(format!("{start} to {end}")),
        (Some(start), None) => said.push(format!("from {start}")),
        _ => {}
    }
    said.push(match time.gap_count {
        Some(0) => "no gaps".into(),
        Some(1) => "1 gap".into(),
        Some(n) => format!("{} gaps", whole(n as u64)),
        None if time.seconds.is_some() => "in all".into(),
        None => "no clock".into(),
    });
    let mut text = format!("time: {}\n", said.join(", "));
    for gap in time.gaps.iter().take(GAPS) {
        text += &format!("  gap after {}", gap.at);
        text += &match (gap.seconds, gap.steps) {
            (Some(s), Some(n)) => format!(
                ": {}, {} steps are not there\n",
                duration(s),
                whole(n as u64)
            ),
            (Some(s), None) => format!(": {}\n", duration(s)),
            (None, _) => ", of unknown length\n".into(),
        };
    }
    let shown = time.gaps.len().min(GAPS);
    let gaps = time.gap_count.unwrap_or(0);
    if shown > 0 && gaps > shown {
        text += &format!("  and {} more\n", gaps - shown);
    }
    text
}

/// A table under its name, and how many rows it does not show.
fn section(name: &str, (table, all): (Table, usize)) -> Option<String> {
    if table.rows.is_empty() {
        return None;
    }
    let mut text = format!("{name}\n{}", table.text());
    if table.rows.len() < all {
        text += &format!("and {} more; --all shows them\n", all - table.rows.len());
    }
    Some(text)
}

fn of_figures(f: &Figures) -> Vec<String> {
    let missing = match f.missing {
        0 => "0".to_string(),
        _ => percent(f.missing_share()),
    };
    let mut cells = vec![missing];
    cells.extend([f.min, f.max, f.mean, f.sd].map(number));
    cells
}

fn channels(channels: &[ChannelFigures], rows: usize) -> (Table, usize) {
    let units = channels.iter().any(|c| c.unit != channels[0].unit);
    let rates = channels.iter().any(|c| c.rate_hz != channels[0].rate_hz);
    let mut header = vec!["channel"];
    header.extend(units.then_some("unit"));
    header.extend(rates.then_some("Hz"));
    header.extend(["values", "missing", "min", "max", "mean", "sd"]);
    let mut table = Table::new(&header);
    for c in channels.iter().take(rows) {
        let mut row = vec![c.name.clone()];
        row.extend(units.then(|| c.unit.clone()));
        row.extend(rates.then(|| number(c.rate_hz)));
        row.push(whole(c.figures.count));
        row.extend(of_figures(&c.figures));
        table.rows.push(row);
    }
    (table, channels.len())
}

fn arrays(arrays: &[ArrayFigures], rows: usize) -> (Table, usize) {
    let mut table = Table::new(&[
        "array", "type", "shape", "missing", "min", "max", "mean", "sd",
    ]);
    for a in arrays.iter().take(rows) {
        let shape: Vec<String> = a.shape.iter().map(usize::to_string).collect();
        let mut row = vec![
            a.name.clone(),
            a.kind.clone(),
            format!("({})", shape.join(", ")),
        ];
        if let Some(figures) = &a.figures {
            row.extend(of_figures(figures));
        }
        table.rows.push(row);
    }
    (table, arrays.len())
}

fn classes(counts: &ClassCounts) -> String {
    let mut table = Table::new(&["class", "count", "share"]);
    for c in &counts.classes {
        table
            .rows
            .push(vec![c.name.clone(), whole(c.count), percent(c.share)]);
    }
    let mut text = format!("classes ({})\n{}", counts.of, table.text());
    if counts.without > 0 {
        text += &format!("{} without a class\n", whole(counts.without));
    }
    text
}

fn graph(graph: &GraphFigures) -> String {
    let s = &graph.statistics;
    let plural = |n: usize, one: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{} {one}s", whole(n as u64)),
    };
    let mut text = format!(
        "graph: {}\n  {}, {}, {}, density {}\n  {}, {}, {}\n",
        graph.origin,
        plural(s.nodes, "node"),
        plural(s.edges, "edge"),
        plural(s.self_loops, "self loop"),
        percent(s.density),
        plural(s.components, "component"),
        plural(s.isolated, "isolated node"),
        if s.symmetric { "symmetric" } else { "directed" },
    );
    for (name, d) in [("in", &s.in_degree), ("out", &s.out_degree)] {
        text += &format!(
            "  {name}-degree {} to {}, mean {}\n",
            d.min,
            d.max,
            number(Some(d.mean))
        );
    }
    let w = &graph.weights;
    if w.count > 0 {
        text += &format!(
            "  weights {} to {}, mean {}\n",
            number(w.min),
            number(w.max),
            number(w.mean)
        );
    }
    if let Some(t) = &graph.over_time {
        let [low, mean, high] = t.edges.map(|e| number(Some(e)));
        text += &format!(
            "  changes with time: {} graphs of {low} to {high} edges (mean {mean}), {} of which \
             differ from the one before; the figures above are of the first\n",
            whole(t.graphs as u64),
            whole(t.changes as u64)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tgmamba_graph::inspect::GapFigures;

    #[test]
    fn every_part_has_its_paragraph() {
        let channel = |name: &str, values: &[f32]| ChannelFigures {
            name: name.into(),
            unit: "uV".into(),
            rate_hz: Some(2.0),
            figures: Figures::of(values),
        };
        let found = Inspection {
            source: "a.edf".into(),
            format: "EDF+D".into(),
            bytes: 1500,
            time: Some(TimeFigures {
                steps: Some(4),
                rate_hz: Some(2.0),
                seconds: Some(2.0),
                start: Some("2020-01-01 00:00:00".into()),
                gaps: vec![GapFigures {
                    at: "1 s".into(),
                    seconds: Some(90.0),
                    steps: None,
                }],
                gap_count: Some(7),
                ..Default::default()
            }),
            channels: vec![channel("Cz", &[1.0, f32::NAN]), channel("Pz", &[2.0, 3.0])],
            warnings: vec!["look".into()],
            ..Default::default()
        };
        let text = describe(&found, 1);
        for expected in [
            "a.edf: EDF+D, 1.5 kB\n",
            "time: 4 steps, 2 Hz, 2 s, from 2020-01-01 00:00:00, 7 gaps\n",
            "  gap after 1 s: 1 min 30 s\n  and 6 more\n",
            "missing values: 25.0 %\n",
            "channels, uV\n",
            "Cz            2   50.0 %",
            "and 1 more; --all",
            "  ! look\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("Pz"));
        assert!(describe(&found, 9).contains("Pz"));
    }
}
