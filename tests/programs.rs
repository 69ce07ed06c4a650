//! What a user does: train, stop, resume, evaluate, and get things wrong.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{assert_close, fixtures};
use tgmamba::models::weights;
use tgmamba_graph::formats::npy::{self, Npz};
use tgmamba_graph::table;

fn program(name: &str) -> Command {
    let path = match name {
        "train" => env!("CARGO_BIN_EXE_train"),
        _ => env!("CARGO_BIN_EXE_eval"),
    };
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

fn run(name: &str, args: &[&str]) -> Output {
    program(name).args(args).output().unwrap()
}

/// Standard output of a call that must succeed.
fn succeed(name: &str, args: &[&str]) -> String {
    let output = run(name, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one message of a call that must fail with code 1.
fn fail(name: &str, args: &[&str]) -> String {
    let output = run(name, args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{name} {args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// A small run of the shipped data set.
fn small<'a>(results: &'a str, name: &'a str) -> Vec<&'a str> {
    vec![
        "--results",
        results,
        "--name",
        name,
        "--epochs",
        "3",
        "--d-model",
        "4",
        "--d-state",
        "2",
        "--warmup-epochs",
        "1",
        "--n-layers",
        "2",
        "--quiet",
    ]
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// metrics.csv without the columns of wall times.
fn metrics(run: &Path) -> Vec<String> {
    let table = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    table
        .lines()
        .map(|line| line.rsplitn(3, ',').last().unwrap().to_string())
        .collect()
}

fn best(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("checkpoints/best.safetensors")).unwrap()
}

fn last(run: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(run.join("checkpoints/last/checkpoint.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Vec<u8>)> = file
        .iter()
        .filter(|(name, _)| name.starts_with("model."))
        .map(|(name, view)| (name.to_string(), view.data().to_vec()))
        .collect();
    tensors.sort();
    assert!(!tensors.is_empty());
    tensors
}

#[test]
fn two_runs_of_one_seed_are_identical_and_another_seed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    for name in ["a", "b"] {
        succeed("train", &small(results, name));
    }
    let mut other = small(results, "c");
    other.extend(["--seed", "1"]);
    succeed("train", &other);
    let path = |name: &str| folder.path().join(name);
    assert_eq!(metrics(&path("a")), metrics(&path("b")));
    assert_eq!(best(&path("a")), best(&path("b")));
    assert_eq!(last(&path("a")), last(&path("b")));
    assert_ne!(best(&path("a")), best(&path("c")));
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let mut arguments = small(results, "whole");
    arguments.extend([
        "--checkpoint-steps",
        "1",
        "--epochs",
        "6",
        "--accumulate",
        "2",
    ]);
    succeed("train", &arguments);

    let killed = folder.path().join("killed");
    arguments[3] = "killed";
    let mut child = program("train")
        .args(&arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = killed.join("checkpoints/last/checkpoint.safetensors");
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no checkpoint was written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    succeed("train", &["--resume", text(&killed), "--quiet"]);

    let whole = folder.path().join("whole");
    assert_eq!(metrics(&killed), metrics(&whole));
    assert_eq!(best(&killed), best(&whole));
    assert_eq!(last(&killed), last(&whole));

    // A finished run has nothing left to do, and says the same again.
    let before = best(&killed);
    succeed("train", &["--resume", text(&killed), "--quiet"]);
    assert_eq!(best(&killed), before);
}

#[test]
fn eval_adds_files_and_changes_none_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let mut arguments = small(results, "run");
    arguments.extend(["--edge-learner-attention", "--attn-softmax-temp", "1"]);
    succeed("train", &arguments);
    let run = folder.path().join("run");
    let files = [
        "config.json",
        "metrics.csv",
        "run.log",
        "checkpoints/best.safetensors",
    ];
    let read = || files.map(|f| std::fs::read(run.join(f)).unwrap());
    let before = read();
    let told = succeed("eval", &["--results", results]);
    assert_eq!(before, read());
    assert!(told.contains("accuracy"), "{told}");
    for file in [
        "test.json",
        "report.html",
        "plots/confusion-matrix.png",
        "plots/confusion-matrix.svg",
    ] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    let plots = std::fs::read_dir(run.join("plots")).unwrap().count();
    assert!(plots >= 16, "{plots} files of figures");
    let predictions = table::read_parquet(run.join("predictions.parquet")).unwrap();
    assert_eq!(predictions.num_rows(), 40);
    assert!(predictions.column_by_name("score_Walking").is_some());
    let test: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("test.json")).unwrap()).unwrap();
    let accuracy = &test["metrics"]["accuracy"];
    assert!(accuracy["low"].as_f64() <= accuracy["value"].as_f64());

    // The weights of the run on plain arrays give its scores again.
    let output = folder.path().join("y.npz");
    let x = ndarray::ArrayD::<f32>::zeros(vec![2, 6, 100, 1]);
    let input = folder.path().join("x.npz");
    npy::write_npz(&input, &[("x", x)]).unwrap();
    succeed(
        "eval",
        &[
            "--weights",
            text(&run.join("checkpoints/best.safetensors")),
            "--config",
            text(&run.join("config.json")),
            "--input",
            text(&input),
            "--output",
            text(&output),
        ],
    );
    assert_eq!(
        Npz::open(&output).unwrap().read("logits").unwrap().shape(),
        [2, 4]
    );
}

#[test]
fn folds_and_seeds_are_summed_up_and_jobs_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    for (name, jobs) in [("one", "1"), ("two", "2")] {
        let mut arguments = small(results, name);
        arguments.extend([
            "--epochs",
            "1",
            "--folds",
            "2",
            "--seeds",
            "2",
            "--split",
            "stratified",
            "--jobs",
            jobs,
        ]);
        let told = succeed("train", &arguments);
        assert!(told.contains("n = 4"), "{told}");
    }
    let read = |name: &str| {
        let path = folder.path().join(name).join("test.json");
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap()
    };
    let test = read("one");
    assert_eq!(test, read("two"));
    assert_eq!(test["parts"].as_array().unwrap().len(), 4);
    let values: Vec<f64> = test["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["metrics"]["accuracy"]["value"].as_f64().unwrap())
        .collect();
    let mean = values.iter().sum::<f64>() / 4.0;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
    let summary = &test["summary"]["parts"]["accuracy"];
    assert!((summary["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((summary["sd"].as_f64().unwrap() - sd).abs() < 1e-12);
    let parts = folder.path().join("one/parts");
    assert!(parts.join("fold1-seed0/metrics.csv").is_file());
    succeed("eval", &["--run", text(&folder.path().join("one"))]);
}

/// `eval` on the arrays of a fixture, with files replaced.
fn arrays(case: &str, replace: &[(&str, &Path)]) -> (Vec<String>, PathBuf, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let case = fixtures().join("classifier").join(case);
    let mut arguments = Vec::new();
    let output = out.path().join("y.npz");
    for (flag, path) in [
        ("--weights", case.join("weights.safetensors")),
        ("--config", case.join("config.json")),
        ("--input", case.join("input.npz")),
        ("--output", output.clone()),
    ] {
        let given = replace.iter().find(|(f, _)| *f == flag);
        let path = given.map_or(path, |(_, p)| p.to_path_buf());
        arguments.extend([flag.to_string(), text(&path).to_string()]);
    }
    (arguments, output, out)
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn plain_arrays_give_the_logits_of_the_reference() {
    for case in ["graphconv", "gcnconv_free", "lightning"] {
        let checkpoint = fixtures().join("classifier/lightning/model.ckpt");
        let replaced: &[(&str, &Path)] = match case {
            "lightning" => &[("--weights", &checkpoint)],
            _ => &[],
        };
        let (arguments, output, _folder) = arrays(case, replaced);
        let mut arguments = strs(&arguments);
        arguments.extend(["--batch-size", "2"]);
        succeed("eval", &arguments);
        let read = |path: &Path| {
            let logits = Npz::open(path).unwrap().read("logits").unwrap();
            let logits = logits.into_f32(path, "logits").unwrap();
            logits.iter().copied().collect::<Vec<f32>>()
        };
        let expected = fixtures()
            .join("classifier")
            .join(case)
            .join("expected.npz");
        assert_close(case, &read(&output), &read(&expected), 1e-5);
    }
}

#[test]
fn wrong_arrays_and_weights_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let case = fixtures().join("classifier/graphconv");
    let message = |flag: &str, file: &Path, words: &[&str]| {
        let (arguments, output, _folder) = arrays("graphconv", &[(flag, file)]);
        let message = fail("eval", &strs(&arguments));
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in: {message}");
        }
        assert!(!output.exists(), "half a result was written: {message}");
    };

    message("--input", &path("missing.npz"), &["missing.npz"]);
    let bytes = std::fs::read(case.join("input.npz")).unwrap();
    std::fs::write(path("cut.npz"), &bytes[..bytes.len() / 2]).unwrap();
    message("--input", &path("cut.npz"), &["cut.npz"]);
    let x = ndarray::ArrayD::<f32>::zeros(vec![2, 3, 4]);
    npy::write_npz(path("three.npz"), &[("x", x)]).unwrap();
    message(
        "--input",
        &path("three.npz"),
        &["three.npz", "x", "shape [2, 3, 4]"],
    );
    let mut x = ndarray::ArrayD::<f32>::zeros(vec![1, 5, 4, 3]);
    x[[0, 1, 2, 0]] = f32::NAN;
    npy::write_npz(path("nan.npz"), &[("x", x.clone())]).unwrap();
    message(
        "--input",
        &path("nan.npz"),
        &["nan.npz", "[0, 1, 2, 0]", "NaN"],
    );
    x[[0, 1, 2, 0]] = 0.0;
    let a = ndarray::ArrayD::<f32>::zeros(vec![5, 4]);
    npy::write_npz(path("a.npz"), &[("x", x), ("adjacency", a)]).unwrap();
    message("--input", &path("a.npz"), &["a.npz", "adjacency", "[5, 4]"]);

    let weights_of = fixtures().join("classifier/gcnconv/weights.safetensors");
    message(
        "--weights",
        &weights_of,
        &["gcnconv", "weights of another model"],
    );
    let bytes = std::fs::read(case.join("weights.safetensors")).unwrap();
    std::fs::write(path("cut.safetensors"), &bytes[..bytes.len() - 10]).unwrap();
    message(
        "--weights",
        &path("cut.safetensors"),
        &["cut.safetensors", "not a whole"],
    );
    let mut dict = weights::load(&case.join("weights.safetensors")).unwrap();
    dict.get_mut("classifier.weight").unwrap().values[0] = f32::INFINITY;
    weights::save(&dict, &path("inf.safetensors")).unwrap();
    message(
        "--weights",
        &path("inf.safetensors"),
        &["classifier.weight", "inf"],
    );

    std::fs::write(path("config.json"), "{\"model\": {\"d_modle\": 3}}").unwrap();
    message(
        "--config",
        &path("config.json"),
        &["config.json", "d_modle"],
    );
    std::fs::write(path("config.json"), "{").unwrap();
    message("--config", &path("config.json"), &["config.json", "line 1"]);
    let (arguments, ..) = arrays("graphconv", &[("--output", Path::new("/proc/y.npz"))]);
    assert!(fail("eval", &strs(&arguments)).contains("/proc/y.npz"));
}

#[test]
fn wrong_settings_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let message = |extra: &[&str], words: &[&str]| {
        let mut arguments = vec![
            "--results",
            results,
            "--name",
            "wrong",
            "--epochs",
            "1",
            "--quiet",
        ];
        arguments.extend(extra);
        let message = fail("train", &arguments);
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in: {message}");
        }
        assert!(
            !folder.path().join("wrong").exists(),
            "a run was started: {message}"
        );
    };
    message(
        &["--dataset", "basic-motion"],
        &["basic-motion", "did you mean \"basic-motions\""],
    );
    message(
        &["--dataset", "no/such/folder"],
        &["no/such/folder", "dataset.toml"],
    );
    message(&["--metric", "acuracy"], &["acuracy", "accuracy"]);
    message(&["--device", "gpu"], &["gpu", "cuda"]);
    message(&["--lr=-1"], &["training.lr", "-1"]);
    message(&["--set", "model.d_modle=3"], &["[model]", "d_modle"]);
    message(&["--set", "modle.d_model=3"], &["modle"]);
    message(&["--split", "group-subject"], &["subject"]);
    message(
        &["--node-features", "position"],
        &["node_features", "positions"],
    );
    message(
        &["--attn-time-varying"],
        &["attn_time_varying", "edge_learner_attention"],
    );
    message(&["--graph", "given"], &["given"]);
    message(&["--config", "no.toml"], &["no.toml"]);
    message(&["--window", "100"], &["window"]);
    message(&["--dataset", "ssvep-exo"], &["data_dir"]);

    assert!(fail("train", &["--results", "/proc/no", "--quiet"]).contains("--results"));
    assert!(fail("train", &["--resume", results]).contains("config.json"));
    assert!(fail("eval", &["--results", results]).contains("train one first"));
    for usage in [
        &["--epochs", "many"] as &[&str],
        &["--no-such-flag"],
        &["--resume", results, "--epochs", "3"],
        &["--jobs", "0"],
    ] {
        assert_eq!(run("train", usage).status.code(), Some(2), "{usage:?}");
    }
    assert_eq!(
        run("eval", &["--weights", "w.safetensors"]).status.code(),
        Some(2)
    );
}

#[test]
fn a_run_is_never_overwritten_and_knows_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let data = folder.path().join("mine");
    std::fs::create_dir(&data).unwrap();
    let x = ndarray::ArrayD::from_shape_fn(vec![24, 3, 10], |i| ((i[0] % 2) * (i[2] + 1)) as f32);
    let y = ndarray::ArrayD::from_shape_fn(vec![24], |i| (i[0] % 2) as f32);
    npy::write_npz(data.join("a.npz"), &[("x", x.clone()), ("y", y.clone())]).unwrap();
    std::fs::write(
        data.join("dataset.toml"),
        "files = \"a.npz\"\nlayout = \"samples nodes time\"\nclasses = [\"off\", \"on\"]\n",
    )
    .unwrap();
    let mut arguments = small(results, "mine-run");
    arguments.extend(["--dataset", text(&data), "--graph", "complete"]);
    succeed("train", &arguments);
    let run = folder.path().join("mine-run");
    let before = best(&run);
    let again = fail("train", &arguments);
    assert!(
        again.contains("never overwritten") && again.contains("--resume"),
        "{again}"
    );
    assert_eq!(best(&run), before);

    npy::write_npz(data.join("a.npz"), &[("x", x * 2.0), ("y", y)]).unwrap();
    let changed = fail("eval", &["--run", text(&run)]);
    assert!(
        changed.contains("a.npz") && changed.contains("trained on"),
        "{changed}"
    );
}
