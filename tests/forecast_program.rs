//! What a user does with a series: train, stop, resume, evaluate, forecast, and get things wrong.

#![cfg(feature = "flex")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tgmamba_graph::table;

fn run(name: &str, args: &[&str]) -> Output {
    let path = match name {
        "train" => env!("CARGO_BIN_EXE_train"),
        _ => env!("CARGO_BIN_EXE_eval"),
    };
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn succeed(name: &str, args: &[&str]) -> (String, String) {
    let output = run(name, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {error}");
    (String::from_utf8(output.stdout).unwrap(), error)
}

fn fail(name: &str, args: &[&str]) -> String {
    let output = run(name, args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{name} {args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small run of the shipped series.
const SMALL: [&str; 12] = [
    "--task",
    "forecast",
    "--epochs",
    "3",
    "--d-model",
    "4",
    "--d-state",
    "2",
    "--n-layers",
    "2",
    "--quiet",
    "--adaptive-graph",
];

fn small<'a>(results: &'a str, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--results", results, "--name", name][..], &SMALL, more].concat()
}

#[test]
fn the_shipped_series_from_training_to_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let (out, _) = succeed(
        "train",
        &small(results, "a", &["--quantiles", "0.1,0.5,0.9"]),
    );
    assert!(out.contains("income") && out.contains("CRPS"), "{out}");
    let place = folder.path().join("a");
    let (out, _) = succeed("eval", &["--run", text(&place)]);
    for words in ["steps ahead", "all, pooled", "mean of steps", "report.html"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    for file in [
        "config.json",
        "metrics.csv",
        "test.json",
        "nodes.csv",
        "predictions.parquet",
        "plots/forecasts.svg",
        "plots/error-by-step.png",
        "plots/error-by-sensor.svg",
        "plots/graph-learned.svg",
        "report.html",
    ] {
        assert!(place.join(file).is_file(), "{file}");
    }
    let config = std::fs::read_to_string(place.join("config.json")).unwrap();
    assert!(config.contains("\"forecast\"") && !config.contains("\"node_features\""));
    // 13 windows of 48 states and 5 years.
    let table = table::read_parquet(place.join("predictions.parquet")).unwrap();
    assert_eq!(table.num_rows(), 13 * 48 * 5);
    let (low, high) = (
        table::f64_column(&table, "q0.1").unwrap(),
        table::f64_column(&table, "q0.9").unwrap(),
    );
    assert!(low.iter().zip(&high).all(|(l, h)| l <= h));

    let csv = folder.path().join("next.csv");
    succeed("eval", &["--run", text(&place), "--forecast", text(&csv)]);
    let next = table::read_csv(&csv).unwrap();
    assert_eq!(next.num_rows(), 48 * 5);
    let times = table::text_column(&next, "time").unwrap();
    assert_eq!(
        (times[0].as_str(), times[4].as_str()),
        ("2010-01-01T00:00:00", "2014-01-01T00:00:00")
    );
    let message = fail("eval", &["--run", text(&place), "--forecast", "x.txt"]);
    assert!(message.contains(".csv or .parquet"), "{message}");
}

/// metrics.csv without the columns of wall times, and the weights.
fn outcome(place: &Path) -> (Vec<String>, Vec<u8>) {
    let metrics = std::fs::read_to_string(place.join("metrics.csv")).unwrap();
    let lines = metrics.lines().map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        cells[..cells.len() - 2].join(",")
    });
    let weights = std::fs::read(place.join("checkpoints/best.safetensors")).unwrap();
    (lines.collect(), weights)
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    succeed("train", &small(results, "whole", &["--dropout", "0.2"]));
    // Stopped from outside in the middle of an epoch: the checkpoint of a step stays.
    let more = ["--dropout", "0.2", "--checkpoint-steps", "1"];
    let args = small(results, "parts", &more);
    let mut child = Command::new(env!("CARGO_BIN_EXE_train"))
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = folder
        .path()
        .join("parts/checkpoints/last/checkpoint.safetensors");
    for _ in 0..2000 {
        if checkpoint.exists() || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(child.kill());
    child.wait().unwrap();
    succeed(
        "train",
        &["--resume", text(&folder.path().join("parts")), "--quiet"],
    );
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    assert_eq!(outcome(&whole), outcome(&parts));
}

#[test]
fn seeds_and_origins_are_parts() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let more = ["--model", "linear", "--seeds", "2", "--origins", "2"];
    let (out, _) = succeed("train", &small(results, "a", &more));
    assert!(
        out.contains("over 4 parts") && out.contains("(n = 4)"),
        "{out}"
    );
    for part in ["origin1-seed0", "origin2-seed1"] {
        assert!(
            folder
                .path()
                .join("a/parts")
                .join(part)
                .join("test.json")
                .is_file()
        );
    }
    succeed("eval", &["--run", text(&folder.path().join("a"))]);
}

#[test]
fn every_model_runs() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    for model in [
        "mamba",
        "s4d",
        "graph-wavenet",
        "stid",
        "gru",
        "linear",
        "seasonal-naive",
        "historical-average",
        "last-value",
    ] {
        let more = ["--model", model, "--epochs", "1", "--n-layers", "1"];
        let (out, _) = succeed("train", &small(results, model, &more));
        assert!(out.contains(model), "{out}");
        succeed("eval", &["--run", text(&folder.path().join(model))]);
    }
}

/// A folder with a series of three sensors; `cell(t, v)` is what stands in the file.
fn series(
    folder: &Path,
    toml: &str,
    stamps: &[&str],
    cell: impl Fn(usize, usize) -> String,
) -> PathBuf {
    let place = folder.join("own");
    std::fs::create_dir_all(&place).unwrap();
    let mut csv = "when,a,b,c\n".to_string();
    for (t, stamp) in stamps.iter().enumerate() {
        let cells: Vec<String> = (0..3).map(|v| cell(t, v)).collect();
        csv += &format!("{stamp},{}\n", cells.join(","));
    }
    std::fs::write(place.join("flow.csv"), csv).unwrap();
    std::fs::write(place.join("edges.csv"), "from,to,weight\na,b,1\n").unwrap();
    let head = "files = \"flow.csv\"\n[csv]\ntime = \"when\"\n[graph]\nedges = \"edges.csv\"\n\
                [forecast]\nfeature = \"flow\"\nnull_value = 0\nhistory = 4\nhorizon = 2\n";
    std::fs::write(place.join("dataset.toml"), format!("{head}{toml}")).unwrap();
    place
}

fn hours(n: usize) -> Vec<String> {
    (0..n)
        .map(|t| format!("2024-01-{:02} {:02}:00:00", 1 + t / 24, t % 24))
        .collect()
}

fn wave(t: usize, v: usize) -> String {
    format!("{:.3}", 20.0 + (t as f64 / 3.0 + v as f64).sin())
}

#[test]
fn sensors_that_say_nothing_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let stamps = hours(120);
    let stamps: Vec<&str> = stamps.iter().map(String::as_str).collect();
    // a is never measured, b never changes, c has no edge.
    let own = series(folder.path(), "", &stamps, |t, v| match v {
        0 => "0".into(),
        1 => "7".into(),
        _ => wave(t, v),
    });
    let results = folder.path().join("results");
    let args = [
        "--dataset",
        text(&own),
        "--results",
        text(&results),
        "--name",
        "r",
        "--epochs",
        "2",
        "--d-model",
        "4",
        "--scale",
        "zscore-node",
        "--quiet",
    ];
    let (out, warnings) = succeed("train", &args);
    assert!(out.contains("flow"), "{out}");
    assert!(
        warnings.contains("never observed in the training part (a)"),
        "{warnings}"
    );
    assert!(
        warnings.contains("1 of 3 sensors have no edge to another"),
        "{warnings}"
    );
    let nodes = std::fs::read_to_string(results.join("r/nodes.csv")).unwrap();
    let row = |v: usize| nodes.lines().nth(v + 1).unwrap().to_string();
    assert_eq!(row(0), "a,,,,0", "not measured, not scored");
    assert!(
        !nodes.to_lowercase().contains("nan") && !nodes.contains("inf"),
        "{nodes}"
    );
}

/// A run without gaps forecasts a series that has grown, a gap among the new steps.
#[test]
fn a_grown_series_is_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let stamps = hours(140);
    let stamps: Vec<&str> = stamps.iter().map(String::as_str).collect();
    let own = series(folder.path(), "", &stamps[..120], wave);
    let results = folder.path().join("results");
    let (own, results) = (text(&own), text(&results));
    let args = [
        "--dataset",
        own,
        "--results",
        results,
        "--name",
        "r",
        "--quiet",
    ];
    let sizes = ["--epochs", "1", "--d-model", "4", "--model", "gru"];
    succeed("train", &[&args[..], &sizes].concat());
    series(folder.path(), "", &stamps, |t, v| match (t, v) {
        (138, 1) => "0".into(),
        _ => wave(t, v),
    });
    let (run, csv) = (format!("{results}/r"), folder.path().join("next.csv"));
    succeed("eval", &["--run", &run, "--forecast", text(&csv)]);
    let next = table::read_csv(&csv).unwrap();
    let times = table::text_column(&next, "time").unwrap();
    assert_eq!(times[0], "2024-01-06T20:00:00");
    let values = table::f64_column(&next, "forecast").unwrap();
    assert!(values.iter().all(|y| y.is_finite()));
    // Shorter than in training is another series.
    series(folder.path(), "", &stamps[..100], wave);
    let message = fail("eval", &["--run", &run, "--forecast", text(&csv)]);
    assert!(message.contains("100 steps"), "{message}");
}

/// An edge learner alone mixes; a setting that a forecast would ignore is refused.
#[test]
fn settings_do_what_they_say_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let learned = [
        "--adaptive-graph=false",
        "--graph",
        "none",
        "--node-embedding-dim",
        "3",
    ];
    let (out, _) = succeed("train", &small(results, "learned", &learned));
    assert!(out.contains("income"), "{out}");
    for (more, expected) in [
        (&["--graph-k", "3"][..], "graph.k"),
        (&["--window", "2"], "dataset.window"),
        (&["--prenorm", "true"], "model.prenorm"),
        (&["--metric", "auroc"], "training.metric"),
        (&["--sparse-graph"], "all edges"),
        (
            &["--model", "gru", "--edge-learner-attention"],
            "a part of tgmamba",
        ),
        (
            &[
                "--adaptive-graph=false",
                "--graph",
                "none",
                "--edge-learner-time-varying",
            ],
            "edges where there are none",
        ),
    ] {
        let message = fail("train", &small(results, "refused", more));
        assert!(message.contains(expected), "{message}");
    }
    assert!(!folder.path().join("refused").exists());
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let stamps = hours(120);
    let good: Vec<&str> = stamps.iter().map(String::as_str).collect();
    let try_it =
        |stamps: &[&str], toml: &str, cell: &dyn Fn(usize, usize) -> String, more: &[&str]| {
            let own = series(folder.path(), toml, stamps, cell);
            let args = [
                "--dataset",
                text(&own),
                "--results",
                text(&results),
                "--epochs",
                "1",
                "--quiet",
            ];
            run("train", &[&args[..], more].concat())
        };
    let says = |output: &Output, expected: &str| {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{expected}: {error}");
        assert!(
            error.contains(expected) && !error.contains("panicked"),
            "{expected}: {error}"
        );
    };
    let plain = |t, v| wave(t, v);
    says(
        &try_it(&good, "", &plain, &["--horizon", "500"]),
        "more than the 120",
    );
    says(
        &try_it(&good, "", &|_, _| "0".into(), &[]),
        "never observed",
    );
    says(
        &try_it(&good, "", &plain, &["--targets", "flaw"]),
        "did you mean \"flow\"",
    );
    says(&try_it(&good, "", &plain, &["--report", "9"]), "step 9");
    says(
        &try_it(&good, "", &plain, &["--quantiles", "0.2,0.8"]),
        "median",
    );
    says(
        &try_it(&good, "", &plain, &["--split", "stratified"]),
        "classification",
    );

    // A clock that is not in order, and how to have it mended.
    let mut unordered = good.clone();
    unordered.swap(3, 4);
    let mut doubled = good.clone();
    doubled[4] = doubled[3];
    let mut gap = good.clone();
    gap.remove(60);
    for (stamps, expected, remedy) in [
        (
            &unordered,
            "earlier than the row before",
            "[clock]\norder = \"sort\"\n",
        ),
        (
            &doubled,
            "more than once",
            "[clock]\nduplicates = \"first\"\ngaps = \"fill\"\n",
        ),
        (&gap, "2024-01-03", "[clock]\ngaps = \"fill\"\n"),
    ] {
        says(&try_it(stamps, "", &plain, &[]), expected);
        let mended = try_it(stamps, remedy, &plain, &["--model", "last-value"]);
        let error = String::from_utf8_lossy(&mended.stderr);
        assert!(mended.status.success(), "{expected}: {error}");
    }
    let message = fail(
        "train",
        &["--task", "forecast", "--dataset", "basic-motions"],
    );
    assert!(message.contains("windows with classes"), "{message}");
    let message = fail("train", &["--dataset", "los-lop", "--task", "forecast"]);
    assert!(message.contains("did you mean \"los-loop\""), "{message}");
}

/// T-GCN's protocol, with the last value for a model: MAE of steps 1 to 3, 6, 9 and 12 together, as
/// computed with numpy on the files.
#[test]
fn los_loop_has_the_published_protocol() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !shared.join("los_loop").is_dir() {
        eprintln!("skipped: no ../shared/data/los_loop");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--dataset",
        "los-loop",
        "--model",
        "last-value",
        "--name",
        "r",
        "--quiet",
    ];
    let places = [
        "--data-dir",
        text(&shared),
        "--results",
        text(folder.path()),
    ];
    succeed("train", &[&args[..], &places].concat());
    let test = std::fs::read_to_string(folder.path().join("r/test.json")).unwrap();
    let test: serde_json::Value = serde_json::from_str(&test).unwrap();
    assert_eq!(test["windows"], 380);
    let target = &test["targets"][0];
    let expected = [
        (3.156119723218042, 5.542782311600084),
        (3.6317182942847284, 6.698634811656322),
        (4.041693734802915, 7.628080991271567),
        (4.43320284531089, 8.455534750619412),
    ];
    for (found, (mae, rmse)) in target["up_to"].as_array().unwrap().iter().zip(expected) {
        assert!(
            (found["mae"].as_f64().unwrap() - mae).abs() < 1e-5,
            "{found}"
        );
        assert!(
            (found["rmse"].as_f64().unwrap() - rmse).abs() < 1e-5,
            "{found}"
        );
    }
    // DCRNN's convention: at step 3 alone.
    let at = target["at"][2]["mae"].as_f64().unwrap();
    assert!((at - 3.5766260775944194).abs() < 1e-5, "{at}");
}
