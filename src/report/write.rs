//! Writing the report of a run into its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::plots::{
    AdjacencyMatrix, ConfusionMatrix, Figure, FoldDots, ForecastLines, HorizonErrors,
    LearningCurves, LearningRate, PrecisionRecall, Roc, SensorErrors, SensorNetwork, save,
};
use super::{EpochRecord, Error, ForecastRecord, Result, RunRecord, html};

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
///
/// Errors: [`Error::Io`] naming the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let passing = path.with_file_name(format!(".{name}.{}.{n}", std::process::id()));
    let io = |source| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    fs::write(&passing, bytes).map_err(io)?;
    fs::rename(&passing, path).map_err(|source| {
        // The error of the renaming is the one to tell.
        let _ = fs::remove_file(&passing);
        io(source)
    })
}

/// A figure as saved: the name of its files, its caption, its width in logical pixels, and its SVG
/// text for the page.
pub(super) struct Plot {
    pub(super) name: String,
    pub(super) caption: String,
    pub(super) width: u32,
    pub(super) svg: String,
}

/// Letters and digits of a name in lower case, everything else a single hyphen, shortened to what
/// every file system takes.
fn file_name(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .collect();
    let name: String = words.join("-").chars().take(60).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "unnamed" } else { name }.to_string()
}

struct Gallery<'a> {
    folder: &'a Path,
    plots: Vec<Plot>,
}

impl Gallery<'_> {
    fn add(&mut self, name: &str, caption: impl Into<String>, figure: &impl Figure) -> Result<()> {
        // Two graphs may have names that differ in signs alone.
        let taken = |n: &str| self.plots.iter().any(|p| p.name == n);
        let name = (1..)
            .map(|k| {
                if k == 1 {
                    name.to_string()
                } else {
                    format!("{name}-{k}")
                }
            })
            .find(|n| !taken(n))
            .unwrap_or_default();
        self.plots.push(Plot {
            svg: save(figure, self.folder, &name)?,
            caption: caption.into(),
            width: figure.size().0,
            name,
        });
        Ok(())
    }

    fn forecast(&mut self, forecast: &ForecastRecord) -> Result<()> {
        if !forecast.excerpts.is_empty() {
            let figure = ForecastLines {
                excerpts: &forecast.excerpts,
                quantity: &forecast.quantity,
                clock: forecast.clock,
            };
            let caption = "Forecasts against the truth: an easy, a usual and a hard sensor";
            self.add("forecasts", caption, &figure)?;
        }
        let unit = &forecast.unit;
        if !forecast.steps.is_empty() {
            let steps = &forecast.steps;
            let figure = HorizonErrors { steps, unit };
            self.add("error-by-step", "Error by steps ahead", &figure)?;
        }
        if !forecast.sensors.is_empty() {
            let sensors = &forecast.sensors;
            let figure = SensorErrors { sensors, unit };
            self.add(
                "error-by-sensor",
                "MAE of each sensor at its place",
                &figure,
            )?;
        }
        Ok(())
    }

    fn curves(
        &mut self,
        run: &RunRecord,
        prefix: &str,
        whose: &str,
        epochs: &[EpochRecord],
        best: Option<usize>,
    ) -> Result<()> {
        if epochs.is_empty() {
            return Ok(());
        }
        let curves = LearningCurves {
            epochs,
            metric: &run.metric,
            best,
        };
        self.add(
            &format!("{prefix}learning-curves"),
            format!("Learning curves{whose}"),
            &curves,
        )
    }
}

/// Draws every figure of the run into `folder/plots/` and writes `folder/report.html`; returns the
/// page's path. Existing figures and page are replaced, other files are left alone.
///
/// Figures: learning curves (of the run and of each fold with epochs), learning rate, confusion
/// matrix, ROC, precision-recall, forecasts and their errors by step and sensor, the metric across folds, and each graph as a matrix and on its
/// sensors; those without data are left out.
///
/// Errors: [`Error::Io`] if a file cannot be written, [`Error::Draw`] if a figure cannot be drawn.
pub fn write(run: &RunRecord, folder: &Path) -> Result<PathBuf> {
    let plots = folder.join("plots");
    fs::create_dir_all(&plots).map_err(|source| Error::Io {
        path: plots.clone(),
        source,
    })?;
    let mut gallery = Gallery {
        folder: &plots,
        plots: Vec::new(),
    };
    if let Some(test) = &run.test {
        if !test.confusion.is_empty() {
            let figure = ConfusionMatrix {
                counts: &test.confusion,
                classes: &test.classes,
            };
            gallery.add(
                "confusion-matrix",
                "Confusion matrix of the test part",
                &figure,
            )?;
        }
        let classes = &test.classes;
        if !test.roc.is_empty() {
            let curves = &test.roc;
            gallery.add("roc", "ROC of the test part", &Roc { curves, classes })?;
        }
        if !test.precision_recall.is_empty() {
            let curves = &test.precision_recall;
            let figure = PrecisionRecall { curves, classes };
            gallery.add(
                "precision-recall",
                "Precision and recall of the test part",
                &figure,
            )?;
        }
    }
    if let Some(forecast) = &run.forecast {
        gallery.forecast(forecast)?;
    }
    let metric = run.metric.as_str();
    if run.folds.len() > 1 && run.folds.iter().any(|f| f.metrics.contains_key(metric)) {
        let folds = &run.folds;
        gallery.add(
            "folds",
            "Spread of the test metric",
            &FoldDots { folds, metric },
        )?;
    }
    gallery.curves(run, "", "", &run.epochs, run.best_epoch)?;
    if run.epochs.iter().any(|e| e.lr.is_finite()) {
        let epochs = &run.epochs;
        gallery.add("learning-rate", "Learning rate", &LearningRate { epochs })?;
    }
    for fold in &run.folds {
        let (prefix, whose) = (file_name(&fold.name) + "-", format!(" of {}", fold.name));
        gallery.curves(run, &prefix, &whose, &fold.epochs, fold.best_epoch)?;
    }
    for graph in run.graphs.iter().filter(|g| !g.is_empty()) {
        let name = file_name(&graph.name);
        let caption = format!("Graph, {}: on the sensors", graph.name);
        gallery.add(&format!("graph-{name}"), caption, &SensorNetwork { graph })?;
        let caption = format!("Graph, {}: weights", graph.name);
        gallery.add(
            &format!("graph-{name}-matrix"),
            caption,
            &AdjacencyMatrix { graph },
        )?;
    }
    let page = folder.join("report.html");
    write_atomic(&page, html::page(run, &gallery.plots).as_bytes())?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_gives_every_figure_and_one_page() {
        let folder = tempfile::tempdir().unwrap();
        let run = sample::classifier();
        let page = write(&run, folder.path()).unwrap();
        let plots = folder.path().join("plots");
        let expected = [
            "confusion-matrix",
            "folds",
            "graph-given",
            "graph-given-matrix",
            "graph-learned-block-1",
            "graph-learned-block-1-matrix",
            "learning-curves",
            "learning-rate",
            "precision-recall",
            "roc",
        ];
        let mut files: Vec<String> = expected
            .iter()
            .flat_map(|n| [format!("{n}.png"), format!("{n}.svg")])
            .collect();
        files.sort();
        assert_eq!(names(&plots), files);
        for name in expected {
            let png = fs::read(plots.join(format!("{name}.png"))).unwrap();
            assert!(png.starts_with(b"\x89PNG") && png.len() > 3000, "{name}");
        }
        let svg = |name: &str| fs::read_to_string(plots.join(format!("{name}.svg"))).unwrap();
        for (name, labels) in [
            ("confusion-matrix", vec!["predicted", "rest", "left hand"]),
            ("folds", vec!["fold 3", "mean 0."]),
            ("graph-given", vec!["Graph: given", "Cz", "edges"]),
            ("graph-given-matrix", vec!["source", "target", "Fpz"]),
            (
                "learning-curves",
                vec!["training", "validation", "best epoch 18"],
            ),
            ("learning-rate", vec!["Learning rate", "1e-4"]),
            ("precision-recall", vec!["recall", "average precision"]),
            ("roc", vec!["false-positive rate", "guessing"]),
        ] {
            let text = svg(name);
            for label in labels {
                assert!(text.contains(label), "{name}: {label}");
            }
        }
        let html = fs::read_to_string(page).unwrap();
        for reference in ["http", "src=", "@import", "url(", "<script"] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert_eq!(html.matches("<svg").count(), expected.len());
    }

    #[test]
    fn the_least_a_run_can_have_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        write(&sample::least(), folder.path()).unwrap();
        write(&RunRecord::default(), folder.path()).unwrap();
        let svg = fs::read_to_string(folder.path().join("plots/learning-curves.svg")).unwrap();
        assert!(
            svg.contains("best epoch 1") && !svg.contains("NaN"),
            "{svg}"
        );
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plots"), "not a folder").unwrap();
        let message = write(&RunRecord::default(), folder.path())
            .unwrap_err()
            .to_string();
        assert!(message.contains("plots"), "{message}");
    }
}
