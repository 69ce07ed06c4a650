//! Records of invented runs, for the tests of the report.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{EpochRecord, FoldRecord, GraphFigure, RunRecord, Section, TestRecord};
use crate::training::metrics::{Bootstrap, Predictions};

fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_string).collect()
}

/// The 64 electrodes of the extended 10-10 system, row by row from the front.
const ROWS: [&str; 9] = [
    "Fp1 Fpz Fp2",
    "AF7 AF3 AFz AF4 AF8",
    "F7 F5 F3 F1 Fz F2 F4 F6 F8",
    "FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8",
    "T9 T7 C5 C3 C1 Cz C2 C4 C6 T8 T10",
    "TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8",
    "P7 P5 P3 P1 Pz P2 P4 P6 P8",
    "PO7 PO3 POz PO4 PO8",
    "O1 Oz O2 Iz",
];

fn electrodes() -> (Vec<String>, Vec<[f64; 2]>) {
    let mut all = (Vec::new(), Vec::new());
    for (r, row) in ROWS.iter().enumerate() {
        let row = names(row);
        let y = 0.93 - r as f64 * 0.108;
        let half = (0.25 - (y - 0.5) * (y - 0.5)).max(0.0).sqrt() * 0.95;
        for (k, name) in row.iter().enumerate() {
            let x = (2.0 * k as f64 / (row.len() - 1) as f64 - 1.0) * half;
            all.0.push(name.clone());
            all.1.push([0.5 + x, y]);
        }
    }
    all
}

/// Weights exp(-(distance / 0.13)^2) over 0.25, or random ones of both signs.
pub(crate) fn graph(name: &str, learned: bool) -> GraphFigure {
    let (nodes, layout) = electrodes();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let weight = |i: usize, j: usize, noise: f64| {
        let (a, b): ([f64; 2], [f64; 2]) = (layout[i], layout[j]);
        let near = (-((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)) / 0.017).exp();
        match (i == j, learned) {
            (true, _) => 1.0,
            (_, false) => {
                if near > 0.25 {
                    near
                } else {
                    0.0
                }
            }
            (_, true) => 0.7 * near + 0.5 * noise.powi(9),
        }
    };
    let v = nodes.len();
    let adjacency = (0..v)
        .map(|i| {
            (0..v)
                .map(|j| weight(i, j, rng.random::<f64>()) as f32)
                .collect()
        })
        .collect();
    GraphFigure {
        name: name.to_string(),
        nodes,
        layout,
        adjacency,
        head: true,
    }
}

fn epochs(n: usize) -> Vec<EpochRecord> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (1..=n)
        .map(|epoch| {
            let t = epoch as f64 / n as f64;
            let mut noise = || (rng.random::<f64>() - 0.5) * 0.04;
            let accuracy = 0.78 - 0.55 * (-6.0 * t).exp() - 0.08 * t * t + noise();
            EpochRecord {
                epoch,
                train_loss: 0.15 + 1.3 * (-4.0 * t).exp() + noise(),
                val_loss: Some(0.5 + 0.9 * (-5.0 * t).exp() + 0.25 * t * t + noise()),
                metrics: BTreeMap::from([
                    ("accuracy".to_string(), accuracy),
                    ("macro-f1".to_string(), accuracy - 0.03 + noise()),
                    ("auroc".to_string(), (accuracy + 0.15).min(0.99)),
                ]),
                lr: 1e-3 * (0.02 + 0.98 * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0),
                seconds: 3.4 + noise(),
                loader_seconds: 0.01,
            }
        })
        .collect()
}

/// Scores of `n` samples of `c` classes, right more often than not.
pub(crate) fn predictions(n: usize, c: usize) -> Predictions {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let targets: Vec<usize> = (0..n)
        .map(|_| rng.random_range(0..c as u32) as usize)
        .collect();
    let mut scores = Vec::new();
    for &t in &targets {
        let row: Vec<f64> = (0..c)
            .map(|k| (3.0 * rng.random::<f64>() + if k == t { 1.4 } else { 0.0 }).exp())
            .collect();
        let sum: f64 = row.iter().sum();
        scores.extend(row.iter().map(|v| v / sum));
    }
    Predictions::new(targets, scores, c).unwrap()
}

/// Test record of [`predictions`].
pub(crate) fn test(n: usize, classes: Vec<String>) -> TestRecord {
    let p = predictions(n, classes.len());
    let bootstrap = Bootstrap {
        resamples: 300,
        ..Bootstrap::default()
    };
    TestRecord {
        samples: n,
        unit: "windows".to_string(),
        classes,
        metrics: p.metrics_with_intervals(&bootstrap).named(),
        per_class: p.per_class(),
        confusion: p.confusion().0,
        roc: p.roc_curves(),
        precision_recall: p.precision_recall_curves(),
    }
}

fn section(heading: &str, facts: &[(&str, &str)]) -> Section {
    Section {
        heading: heading.to_string(),
        facts: facts
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
    }
}

/// A finished classification with folds and graphs.
pub(crate) fn classifier() -> RunRecord {
    let metric = |k: usize, base: f64| base + 0.03 * ((k * 7 % 5) as f64 - 2.0);
    let folds = (1..=5)
        .map(|k| FoldRecord {
            name: format!("fold {k}"),
            samples: 140 + k,
            best_epoch: Some(14 + k),
            metrics: BTreeMap::from([
                ("accuracy".to_string(), metric(k, 0.71)),
                ("macro-f1".to_string(), metric(k, 0.69)),
                ("auroc".to_string(), metric(k, 0.86)),
            ]),
            epochs: Vec::new(),
        })
        .collect();
    let classes = ["rest", "left hand", "right hand", "feet"].map(str::to_string);
    RunRecord {
        title: "2026-03-02-motor-imagery-tgmamba".to_string(),
        sections: vec![
            section(
                "Data set",
                &[
                    ("name", "motor imagery <EEG> & \"friends\""),
                    ("samples", "train 1,120 · validation 160 · test 144 windows"),
                    ("signal", "64 electrodes, 160 Hz, windows of 4 s"),
                ],
            ),
            section(
                "Protocol",
                &[
                    ("split", "5 folds by subject"),
                    ("selection", "highest validation accuracy"),
                ],
            ),
            section(
                "Model",
                &[("name", "TGMamba classifier"), ("parameters", "84,612")],
            ),
            section(
                "Environment",
                &[
                    ("device", "cpu"),
                    ("seed", "0"),
                    ("versions", "tgmamba 0.1.0, burn 0.22.1"),
                ],
            ),
        ],
        command: "train --dataset motor-imagery --model tgmamba --seed 0".to_string(),
        config: serde_json::json!({"model": {"d_model": 32, "n_layers": 2}, "seed": 0}),
        metric: "accuracy".to_string(),
        epochs: epochs(30),
        best_epoch: Some(18),
        test: Some(test(144, classes.to_vec())),
        folds,
        graphs: vec![graph("given", false), graph("learned, block 1", true)],
    }
}

/// One epoch that diverged, one sample, one sensor without a position.
pub(crate) fn least() -> RunRecord {
    RunRecord {
        metric: "accuracy".to_string(),
        epochs: vec![EpochRecord {
            epoch: 1,
            train_loss: f64::NAN,
            val_loss: Some(0.7),
            metrics: BTreeMap::from([("accuracy".to_string(), f64::NAN)]),
            lr: 1e-3,
            seconds: f64::NAN,
            loader_seconds: f64::NAN,
        }],
        best_epoch: Some(1),
        test: Some(test(1, vec!["a".to_string(), "b".to_string()])),
        graphs: vec![GraphFigure {
            adjacency: vec![vec![f32::NAN]],
            ..GraphFigure::default()
        }],
        ..RunRecord::default()
    }
}
