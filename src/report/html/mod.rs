//! The page of a run: one file that needs no other, readable offline and in the dark.

use serde_json::Value;

use super::tables::{self, Table};
use super::write::Plot;
use super::{Estimate, RunRecord, TestRecord, in_order, readable, summaries};

/// Fewer test samples than this deserve a warning.
const FEW_SAMPLES: usize = 200;
/// A wider interval of a metric in [0, 1] deserves a warning.
const WIDE_INTERVAL: f64 = 0.10;

/// A wider figure, in pixels, would be hard to read at half the page's width.
const HALF_PAGE: u32 = 720;
/// Longer tables are folded away.
const LONG_TABLE: usize = 20;

/// Text that is safe inside elements and quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            _ => out.push(c),
        }
    }
    out
}

fn table_html(table: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells: String = (0..table.header.len())
            .map(|c| {
                let text = cells.get(c).map_or("", String::as_str);
                format!("<{tag}>{}</{tag}>", escape(text))
            })
            .collect();
        format!("<tr>{cells}</tr>")
    };
    let body: String = table.rows.iter().map(|r| row(r, "td")).collect();
    format!(
        "<div class=\"scroll\"><table><thead>{}</thead><tbody>{body}</tbody></table></div>",
        row(&table.header, "th")
    )
}

/// An SVG text as part of the page: no name space needed there, and free to shrink.
fn figure_html(plot: &Plot) -> String {
    let svg = plot
        .svg
        .replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let caption = escape(&plot.caption);
    let svg = svg.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{caption}\" "),
        1,
    );
    let wide = if plot.width > HALF_PAGE {
        " class=\"wide\""
    } else {
        ""
    };
    format!("<figure{wide}>{svg}<figcaption>{caption}</figcaption></figure>")
}

/// Whether all bounds lie in [-1, 1], so that widths can be judged.
fn is_share(estimate: &Estimate) -> bool {
    let bounds = [estimate.value, estimate.low, estimate.high];
    bounds.iter().flatten().all(|v| v.abs() <= 1.0)
}

/// "1 window", "2 windows"; samples if the record does not say of what.
fn counted(n: usize, unit: &str) -> String {
    let unit = if unit.is_empty() { "samples" } else { unit };
    match n {
        1 => format!("1 {}", unit.strip_suffix('s').unwrap_or(unit)),
        _ => format!("{n} {unit}"),
    }
}

/// What a reader must know before believing the numbers.
fn warnings(run: &RunRecord) -> Vec<String> {
    let Some(test) = &run.test else {
        return vec![if run.folds.is_empty() {
            "Not tested yet: there are no test metrics. What follows is training and validation only."
                .to_string()
        } else {
            "The test scores were not pooled: see the table of runs.".to_string()
        }];
    };
    let mut all = Vec::new();
    if test.samples < FEW_SAMPLES {
        all.push(format!(
            "The test part is small ({}): small differences between models mean little.",
            counted(test.samples, &test.unit),
        ));
    }
    if let Some(estimate) = test.metrics.get(&run.metric)
        && run.metric != "loss"
        && is_share(estimate)
        && let Some(width) = estimate.width().filter(|w| *w > WIDE_INTERVAL)
    {
        all.push(format!(
            "The interval of the {} is wide ({width:.2}): more test data would tell more.",
            readable(&run.metric)
        ));
    }
    for name in in_order(test.metrics.keys()) {
        if let Some(reason) = &test.metrics[name].undefined {
            all.push(format!("Undefined {}: {reason}.", readable(name)));
        }
    }
    all
}

/// The value of a metric with its interval drawn as a bar over [0, 1].
fn bar(estimate: &Estimate) -> String {
    let (Some(value), true) = (estimate.value, is_share(estimate)) else {
        return String::new();
    };
    let low = estimate.low.unwrap_or(value).clamp(0.0, 1.0) * 100.0;
    let high = estimate.high.unwrap_or(value).clamp(0.0, 1.0) * 100.0;
    format!(
        "<div class=\"bar\"><i style=\"left:{low:.1}%;width:{:.1}%\"></i>\
         <b style=\"left:{:.1}%\"></b></div>",
        high - low,
        value.clamp(0.0, 1.0) * 100.0
    )
}

fn test_html(run: &RunRecord, test: &TestRecord) -> String {
    let mut cards = String::new();
    for name in in_order(test.metrics.keys()) {
        let estimate = &test.metrics[name];
        let chosen = if *name == run.metric { " chosen" } else { "" };
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!("95 % interval {low:.3} to {high:.3}"),
            _ => estimate.undefined.clone().unwrap_or_default(),
        };
        cards += &format!(
            "<div class=\"card{chosen}\"><h3>{}</h3><p class=\"value\">{}</p>\
             <p class=\"interval\">{}</p>{}</div>",
            escape(&readable(name)),
            estimate
                .value
                .map_or("–".to_string(), |v| format!("{v:.3}")),
            escape(&interval),
            if name == "loss" {
                String::new()
            } else {
                bar(estimate)
            },
        );
    }
    let mut out = format!("<div class=\"cards\">{cards}</div>");
    if !test.per_class.is_empty() {
        let table = tables::per_class(&test.per_class, &test.classes);
        out += &format!("<h3>Classes</h3>{}", table_or_fold("All classes", &table));
    }
    out
}

fn forecast_html(run: &RunRecord) -> String {
    let tables = run.forecast.iter().flat_map(|f| &f.tables);
    let parts = tables
        .map(|(name, table)| format!("<h3>Errors of {}</h3>{}", escape(name), table_html(table)));
    parts.collect()
}

fn heading(run: &RunRecord) -> String {
    if run.title.is_empty() {
        "Run".to_string()
    } else {
        escape(&run.title)
    }
}

fn what_was_run(run: &RunRecord) -> String {
    let sections: String = run
        .sections
        .iter()
        .map(|s| {
            let facts: String = s
                .facts
                .iter()
                .map(|(k, v)| format!("<dt>{}</dt><dd>{}</dd>", escape(k), escape(v)))
                .collect();
            format!("<div><h3>{}</h3><dl>{facts}</dl></div>", escape(&s.heading))
        })
        .collect();
    if sections.is_empty() {
        return String::new();
    }
    format!("<section><h2>What was run</h2><div class=\"facts\">{sections}</div></section>")
}

/// The figures whose names `belong`, side by side where they fit.
fn figures(plots: &[Plot], belong: impl Fn(&str) -> bool) -> String {
    let all: String = plots
        .iter()
        .filter(|p| belong(&p.name))
        .map(figure_html)
        .collect();
    if all.is_empty() {
        all
    } else {
        format!("<div class=\"figures\">{all}</div>")
    }
}

fn folded(summary: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<details><summary>{}</summary>{content}</details>",
        escape(summary)
    )
}

fn table_or_fold(summary: &str, table: &Table) -> String {
    if table.rows.len() > LONG_TABLE {
        folded(summary, &table_html(table))
    } else {
        table_html(table)
    }
}

/// The page of `run` with its figures.
pub(super) fn page(run: &RunRecord, plots: &[Plot]) -> String {
    let mut body = format!(
        "<header><p>TGMamba run</p><h1>{}</h1></header>",
        heading(run)
    );
    for warning in warnings(run) {
        body += &format!(
            "<p class=\"warning\" role=\"note\">{}</p>",
            escape(&warning)
        );
    }
    if let Some(test) = &run.test {
        let evaluation = [
            "confusion-matrix",
            "roc",
            "precision-recall",
            "forecasts",
            "error-by-step",
            "error-by-sensor",
        ];
        body += &format!(
            "<section><h2>Test <small>{}</small></h2>{}{}</section>",
            escape(&counted(test.samples, &test.unit)),
            test_html(run, test) + &forecast_html(run),
            figures(plots, |n| evaluation.contains(&n)),
        );
    }
    if !run.folds.is_empty() {
        let means = summaries(&run.folds);
        let line = means.get(&run.metric).map_or(String::new(), |s| {
            format!(
                "<p>{}: {}</p>",
                escape(&readable(&run.metric)),
                escape(&s.to_string())
            )
        });
        body += &format!(
            "<section><h2>Folds and seeds</h2>{line}{}{}</section>",
            figures(plots, |n| n == "folds"),
            table_or_fold("All folds and seeds", &tables::folds(&run.folds)),
        );
    }
    body += &what_was_run(run);
    let own = ["learning-curves", "learning-rate"];
    let own_curves = figures(plots, |n| own.contains(&n));
    let fold_curves = figures(plots, |n| {
        !own.contains(&n) && n.contains("-learning-curves")
    });
    if !own_curves.is_empty() || !fold_curves.is_empty() {
        let epochs = if run.epochs.is_empty() {
            String::new()
        } else {
            folded("All epochs", &table_html(&tables::epochs(&run.epochs)))
        };
        body += &format!(
            "<section><h2>Training</h2>{own_curves}{}{epochs}</section>",
            folded("Learning curves of each fold or seed", &fold_curves),
        );
    }
    let graphs = figures(plots, |n| n.starts_with("graph-"));
    if !graphs.is_empty() {
        body += &format!("<section><h2>Graphs</h2>{graphs}</section>");
    }
    if !run.config.is_null() && run.config != Value::Object(serde_json::Map::new()) {
        let pretty = serde_json::to_string_pretty(&run.config).unwrap_or_default();
        let content = format!("<pre>{}</pre>", escape(&pretty));
        body += &format!(
            "<section><h2>Configuration</h2>{}</section>",
            folded("All values, defaults included", &content)
        );
    }
    if !run.command.is_empty() {
        body += &format!(
            "<section><h2>To reproduce</h2><pre>{}</pre></section>",
            escape(&run.command)
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
         <style>\n{}</style></head>\n<body><main>{body}</main></body></html>\n",
        heading(run),
        include_str!("style.css"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn text_is_escaped_everywhere() {
        let mut run = sample::classifier();
        run.title = "<script>alert('x')</script>".to_string();
        run.command = "train --name \"<b>\"".to_string();
        run.config = serde_json::json!({"name": "</pre><img src=x>"});
        let page = page(&run, &[]);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
        assert!(page.contains("&lt;EEG&gt; &amp; &quot;friends&quot;"));
    }

    #[test]
    fn warnings_fit_the_evidence() {
        let mut run = sample::classifier();
        let few = warnings(&run).join(" ");
        assert!(
            few.contains("small (144 windows)") && few.contains("wide (0."),
            "{few}"
        );
        run.test = Some(sample::test(3000, vec!["a".to_string(), "b".to_string()]));
        assert_eq!(warnings(&run), Vec::<String>::new());
        run.test = None;
        run.folds.clear();
        assert!(warnings(&run)[0].starts_with("Not tested yet"));
        run.test = Some(sample::test(1, vec!["a".to_string(), "b".to_string()]));
        assert!(
            warnings(&run)
                .iter()
                .any(|w| w.starts_with("Undefined AUROC: class"))
        );
    }
}
