//! `lm` as a user runs it.

mod common;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::fixtures;

fn lm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lm"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output of a call that must succeed.
fn succeed(args: &[&str]) -> String {
    let output = lm(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one message of a call that must fail with code 1.
fn fail(args: &[&str]) -> String {
    let output = lm(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn checkpoint(name: &str) -> PathBuf {
    fixtures().join("language_models").join(name)
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// The command line of a training on the text of the fixtures; what is in `more` wins.
fn arguments(results: &str, name: &str, more: &[&str]) -> Vec<String> {
    let data = fixtures().join("language_models/text.txt");
    let usual = [
        "train",
        "--data",
        text(&data),
        "--results",
        results,
        "--name",
        name,
        "--d-model",
        "32",
        "--n-layer",
        "2",
        "--steps",
        "30",
        "--eval-every",
        "10",
        "--seq-len",
        "48",
        "--batch-size",
        "4",
        "--warmup-steps",
        "5",
        "--lr",
        "1e-2",
    ];
    usual.iter().chain(more).map(|a| a.to_string()).collect()
}

/// A model trained for a moment, under `results`.
fn trained(results: &str, name: &str, more: &[&str]) -> String {
    let args = arguments(results, name, more);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    succeed(&args)
}

#[test]
fn train_then_generate() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let out = trained(results, "a", &[]);
    assert!(
        out.contains("held-out loss") && out.contains("perplexity"),
        "{out}"
    );
    let run = folder.path().join("a");
    let table = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    let first = table.lines().next().unwrap();
    assert!(
        first.starts_with("epoch,train_loss,val_loss,val_perplexity"),
        "{first}"
    );
    assert_eq!(table.lines().count(), 4);
    let loss = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    let losses: Vec<f64> = table.lines().skip(1).map(loss).collect();
    assert!(losses[2] < losses[0] && losses[2] < 3.0, "{losses:?}");

    let model = run.join("model");
    let generate = |more: &[&str]| {
        let mut args = vec![
            "generate",
            "--model",
            text(&model),
            "--max-new-tokens",
            "40",
        ];
        args.extend(more);
        succeed(&args)
    };
    let one = generate(&["--prompt", "the cat"]);
    assert!(one.starts_with("the cat") && one.len() > 20, "{one}");
    assert_eq!(one, generate(&["--prompt", "the cat"]));
    let rest = generate(&["--prompt", "the cat", "--no-echo"]);
    assert_eq!(format!("the cat{rest}"), one);
    // A batch with padding gives what its prompts give alone.
    let batch = generate(&["--prompt", "the cat", "--prompt", "my neighbours walk"]);
    let two = generate(&["--prompt", "my neighbours walk"]);
    assert_eq!(batch, format!("--- 1 ---\n{one}--- 2 ---\n{two}"));
    // Stop strings end a text and are no part of it.
    let stop: String = rest.chars().skip(10).take(3).collect();
    let stopped = generate(&["--prompt", "the cat", "--no-echo", "--stop", &stop]);
    let stopped = stopped.strip_suffix('\n').unwrap();
    assert_eq!(Some(stopped), rest.split(&stop).next());
    // Draws follow the seed.
    let drawn = |seed: &str| generate(&["--prompt", "the", "--temperature", "1", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));

    let shown = succeed(&["inspect", text(&model)]);
    assert!(shown.contains("backbone.layers.1.mixer.A_log"), "{shown}");
    let bench = succeed(&[
        "bench",
        "--model",
        text(&model),
        "--prompt-len",
        "9",
        "--gen-len",
        "4",
        "--dtype",
        "bf16",
    ]);
    let lines: Vec<&str> = bench.lines().collect();
    assert!(lines[0].starts_with("Loading model "), "{bench}");
    assert!(lines[1].starts_with("Number of parameters: "), "{bench}");
    assert_eq!(lines[2], "Prompt length: 9, generation length: 4");
    let time = lines[3]
        .split_once(" prompt processing + decoding time: ")
        .unwrap()
        .1;
    assert!(
        time.strip_suffix("ms").unwrap().parse::<u32>().is_ok(),
        "{time}"
    );
}

#[test]
fn a_stopped_training_goes_on_as_if_it_had_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let results = text(folder.path());
    let more = [
        "--mixer",
        "mamba2",
        "--d-state",
        "16",
        "--headdim",
        "16",
        "--tokenizer",
        "bpe:280",
        "--checkpoint-every",
        "4",
        "--steps",
        "120",
        "--eval-every",
        "40",
    ];
    trained(results, "whole", &more);
    let again = folder.path().join("again");
    let mut child = Command::new(env!("CARGO_BIN_EXE_lm"))
        .args(arguments(results, "again", &more))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = again.join("checkpoints/last/checkpoint.safetensors");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        child.wait().unwrap().code(),
        Some(1),
        "the training was not stopped"
    );
    assert!(!again.join("model").exists());
    succeed(&["train", "--resume", text(&again)]);
    let read = |run: &str, file: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
    let best = "checkpoints/best.safetensors";
    assert_eq!(read("whole", best), read("again", best));
    // A run that ended stays as it is.
    succeed(&["train", "--resume", text(&again)]);
    assert_eq!(read("whole", best), read("again", best));
    // Data that changed are not the run's.
    let config = std::fs::read_to_string(again.join("config.json")).unwrap();
    let data = folder.path().join("other.txt");
    std::fs::write(&data, "something else").unwrap();
    let fixture = fixtures().join("language_models/text.txt");
    let config = config.replacen(text(&fixture), text(&data), 1);
    std::fs::write(again.join("config.json"), config).unwrap();
    let message = fail(&["train", "--resume", text(&again)]);
    assert!(
        message.contains("not those that the run began with"),
        "{message}"
    );
}

#[test]
fn a_conversion_prints_every_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let from = checkpoint("ss-mamba");
    let printed = succeed(&["convert", text(&from), text(&out), "--to", "hf"]);
    assert!(printed.contains("backbone.embedding.weight"), "{printed}");
    assert!(printed.contains("backbone.embeddings.weight"), "{printed}");
    assert!(
        printed.contains("(tied)") && printed.contains("f32  [64, 16]"),
        "{printed}"
    );
    let message = fail(&["convert", text(&from), text(&out)]);
    assert!(message.contains("never overwritten"), "{message}");
}

/// A copy of a checkpoint, to be damaged.
fn copied(name: &str, to: &std::path::Path) -> PathBuf {
    let target = to.join(name);
    std::fs::create_dir(&target).unwrap();
    for entry in std::fs::read_dir(checkpoint(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "expected.safetensors" {
            std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
        }
    }
    target
}

#[test]
fn damaged_checkpoints_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let inspect = |path: &std::path::Path| fail(&["inspect", text(path)]);
    let convert =
        |path: &std::path::Path| fail(&["convert", text(path), text(&folder.path().join("out"))]);

    let sharded = copied("hf-mamba2-sharded-bf16", folder.path());
    let shard = sharded.join("model-00002-of-00003.safetensors");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[..bytes.len() - 7]).unwrap();
    let message = inspect(&sharded);
    assert!(
        message.contains("00002-of-00003") && message.contains("not whole"),
        "{message}"
    );
    std::fs::remove_file(&shard).unwrap();
    let message = inspect(&sharded);
    assert!(
        message.contains("names model-00002-of-00003.safetensors"),
        "{message}"
    );

    let plain = copied("ss-mamba", folder.path());
    let weights = plain.join("pytorch_model.bin");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let message = inspect(&plain);
    assert!(
        message.contains("pytorch_model.bin") && message.contains("not whole"),
        "{message}"
    );

    let config = plain.join("config.json");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&weights, &bytes).unwrap();
    for (old, new, wanted) in [
        (
            "\"n_layer\": 2",
            "\"n_layer\": 3",
            "backbone.layers.2.mixer.A_log: the weights lack",
        ),
        (
            "\"n_layer\": 2",
            "\"n_layer\": 1",
            "the model has no such tensor; the nearest is backbone.layers.0",
        ),
        (
            "\"d_state\": 8",
            "\"d_state\": 4",
            "A_log: is [32, 8], the model needs [32, 4]",
        ),
        ("\"d_state\": 8", "\"d_sate\": 4", "d_sate"),
        (
            "\"d_model\": 16,",
            "\"d_model\": 16, \"d_modle\": 1,",
            "did you mean \"d_model\"?",
        ),
        (
            "\"attn_layer_idx\": []",
            "\"attn_layer_idx\": [1]",
            "layers 1 are attention",
        ),
        (
            "\"rms_norm\": true",
            "\"rms_norm\": false",
            "LayerNorm is not supported",
        ),
        (
            "\"d_model\": 16",
            "\"d_model\": \"16\"",
            "not a whole number",
        ),
    ] {
        // json.dumps writes nested values on lines of their own.
        let text = good.replace("[\n\n ]", "[]");
        assert!(text.contains(old), "{old} in {text}");
        std::fs::write(&config, text.replacen(old, new, 1)).unwrap();
        let message = convert(&plain);
        assert!(message.contains(wanted), "{new}: {message}");
        assert!(message.contains("ss-mamba"), "{message}");
    }
    std::fs::remove_file(&config).unwrap();
    assert!(inspect(&plain).contains("neither config.json nor params.json"));
}

#[test]
fn mistakes_of_a_user_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let model = checkpoint("hf-mamba");
    let generate = |more: &[&str]| {
        let mut args = vec!["generate", "--model", text(&model)];
        args.extend(more);
        fail(&args)
    };
    assert!(generate(&["--prompt", "a"]).contains("tokenizer.json"));
    assert!(generate(&["--prompt", "a", "--top-p", "2"]).contains("--top-p"));
    // A run's tokenizer has 257 tokens, this model 61.
    let results = text(folder.path());
    trained(results, "a", &[]);
    let tokenizer = folder.path().join("a/tokenizer.json");
    let message = generate(&["--prompt", "a", "--tokenizer", text(&tokenizer)]);
    assert!(
        message.contains("ids up to 256, the model 61 embeddings"),
        "{message}"
    );
    let own = folder.path().join("a/model");
    let message = fail(&["generate", "--model", text(&own), "--prompt", ""]);
    assert!(message.contains("has no token"), "{message}");
    let data = folder.path().join("short.txt");
    std::fs::write(&data, "too short").unwrap();
    let message = fail(&["train", "--data", text(&data), "--results", results]);
    assert!(message.contains("--seq-len"), "{message}");
    // Wrong usage is another code.
    assert_eq!(lm(&["train"]).status.code(), Some(2));
    assert_eq!(
        lm(&["generate", "--model", "x", "--dtype", "f8"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(lm(&["bench", "--size", "7b"]).status.code(), Some(1));
}
