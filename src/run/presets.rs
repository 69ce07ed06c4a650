//! Settings that suit the named data sets; a user's own settings win over them.

use serde_json::{Value, json};

/// The data set of a plain `train`.
pub const DEFAULT_DATASET: &str = "basic-motions";

/// The series of a plain `train --task forecast`.
pub const DEFAULT_SERIES: &str = "us-income";

/// Defaults of every run.
pub fn base() -> Value {
    json!({
        "dataset": {}, "split": {}, "scale": "standard",
        "node_features": "none", "graph": {}, "model": {}, "training": {},
        "seed": 0, "seeds": 1, "device": "cpu", "precision": "exact",
    })
}

/// Defaults of every forecast.
pub fn of_forecast() -> Value {
    json!({
        "forecast": {},
        "model": {"d_model": 32, "n_layers": 2, "d_state": 8, "expand": 1, "d_conv": 3},
        "training": {"epochs": 30, "batch_size": 32, "lr": 0.003, "metric": "loss",
                     "warmup_epochs": 1.0, "weight_decay": 0.0001, "patience": 10},
    })
}

/// Sizes that suit a forecaster.
pub fn of_forecaster(kind: &str) -> Value {
    match kind {
        "graph-wavenet" => json!({"model": {"n_layers": 8}, "forecast": {"adaptive": true}}),
        "stid" => json!({"model": {"n_layers": 3}}),
        "gru" => json!({"model": {"n_layers": 1, "d_model": 64}}),
        _ => json!({}),
    }
}

/// Settings for a data set by name; none for a folder of the user's.
pub fn of(name: &str) -> Value {
    match name {
        "basic-motions" => json!({
            "split": {"validation_fraction": 0.2},
            "model": {"d_model": 16, "n_layers": 1, "d_state": 8},
            "training": {"epochs": 60, "batch_size": 8, "lr": 0.01, "metric": "loss"},
        }),
        // Eight electrodes over the visual cortex with a role each, about 50 training windows per
        // subject: input weights of their own, and noise against learning the windows by heart. A
        // validation part of ten windows would cost more than it tells: the number of epochs was
        // chosen with one, and the final training has none.
        "ssvep-exo" => json!({
            "split": {"method": "within-subject", "folds": 5, "validation_fraction": 0.0},
            "node_features": "slots",
            "model": {"d_model": 16, "n_layers": 1, "d_state": 8},
            "training": {"epochs": 15, "batch_size": 8, "lr": 0.005, "metric": "loss",
                         "label_smoothing": 0.1, "augment": {"noise": 0.5}},
        }),
        // Left and right differ in where activity is: without sensors of their own, averaged over
        // the head, they would look alike. The level of the slow wave at the end counts, so no norm.
        "finger-movements" => json!({
            "dataset": {"features": {"kind": "raw", "lowpass_hz": 7.0, "reference": "average",
                                     "crop_seconds": [0.2, 0.5], "decimate": 5}},
            "node_features": "slots",
            "model": {"d_model": 16, "n_layers": 1, "d_state": 8, "rmsnorm": false,
                      "seq_pool_type": "last"},
            "training": {"epochs": 25, "batch_size": 16, "lr": 0.005, "metric": "loss"},
        }),
        // Incomes grow by shares, and eighty years are few.
        "us-income" => json!({
            "forecast": {"transform": "log1p", "relative": true, "node_embedding": false,
                         "adaptive": false},
            "model": {"d_model": 16, "n_layers": 1, "dropout": 0.0},
            "training": {"epochs": 60, "batch_size": 8, "patience": 0},
        }),
        // One week: a learned graph learns it by heart.
        "los-loop" => json!({
            "forecast": {"scaling": "zscore", "adaptive": false, "head": "all"},
            "model": {"d_model": 64},
            "training": {"epochs": 25},
        }),
        // Three years of hours: many windows of few sensors.
        "beijing-air" => json!({
            "training": {"batch_size": 256, "epochs": 20, "patience": 5},
        }),
        // Two months of a first wave: growth by shares, levels that were never seen before.
        "england-covid" => json!({
            "forecast": {"transform": "log1p", "relative": true},
        }),
        // The sets of the reference, in the sizes and within the ranges its authors used; their
        // features are standardised already.
        "tusz" => json!({
            "scale": "none",
            "model": {"d_model": 32, "n_layers": 2, "d_state": 16},
            "training": {"epochs": 100, "batch_size": 256, "lr": 1e-3, "weight_decay": 0.05,
                         "metric": "auroc", "patience": 20},
        }),
        "dodh" => json!({
            "scale": "none",
            "model": {"d_model": 32, "n_layers": 2, "d_state": 48},
            "training": {"epochs": 100, "batch_size": 64, "lr": 1e-3, "weight_decay": 0.05,
                         "metric": "macro-f1", "patience": 20, "sampling": "class-balanced"},
        }),
        "bcicha" => json!({
            "node_features": "slots",
            "model": {"d_model": 50, "n_layers": 1, "d_state": 16},
            "training": {"epochs": 100, "batch_size": 60, "lr": 1e-3, "weight_decay": 0.05,
                         "metric": "auroc", "patience": 20, "sampling": "inverse-frequency"},
        }),
        "mamem" => json!({
            "node_features": "slots",
            "model": {"d_model": 32, "n_layers": 1, "d_state": 16},
            "training": {"epochs": 100, "batch_size": 32, "lr": 1e-3, "weight_decay": 0.05,
                         "metric": "accuracy", "patience": 20},
        }),
        _ => json!({}),
    }
}
