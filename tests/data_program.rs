//! The program `data`, as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn data(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_data"))
        .args(args)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The standard output of a run that should succeed.
fn good(args: &[&str]) -> String {
    let output = data(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    out(&output)
}

/// The message of a run that should fail: one line that begins with `error:`.
fn bad(args: &[&str]) -> String {
    let output = data(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
    assert!(errors.starts_with("error: "), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&good(&[args, &["--json"]].concat())).unwrap()
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("graph/tests/fixtures");
    folder.join(name).display().to_string()
}

/// The data sets beside the repository; `None` where they are absent.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return None;
    }
    Some(folder)
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self.path(name)
    }
}

#[test]
fn wrong_usage_is_told_from_failure() {
    for args in [
        &[][..],
        &["inspct"],
        &["inspect"],
        &["inspect", "a", "--jsn"],
        &["plot", "a"],
    ] {
        let output = data(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("Usage"), "{args:?}: {errors}");
    }
    assert!(good(&["--help"]).contains("inspect"));
}

#[test]
fn a_table_is_understood() {
    let scratch = Scratch::new();
    let rows: String = (0..24)
        .map(|h| {
            format!(
                "2024-01-01 {h:02}:00,{}\n",
                if h == 3 { "NA".into() } else { h.to_string() }
            )
        })
        .collect();
    let path = scratch.file(
        "load.csv",
        format!("time,load\n{rows}2024-01-03 00:00,1\n").as_bytes(),
    );
    let text = good(&["inspect", &path]);
    for expected in [
        "text table",
        "25 rows × 2 columns",
        "one every hour",
        "1 gap, of 24 steps",
        "4.0 %",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let found = json(&["inspect", &path]);
    assert_eq!(found["channels"][0]["figures"]["missing"], 1);
    assert_eq!(found["time"]["start"], "2024-01-01 00:00:00");
    assert_eq!(found["time"]["gaps"][0]["steps"], 24);
    assert_eq!(found["format"], "text table");
}

#[test]
fn signal_files_are_understood_with_their_breaks() {
    let found = json(&["inspect", &fixture("plus_d.edf")]);
    assert_eq!(found["format"], "EDF+D");
    assert!(found["time"]["gap_count"].as_u64().unwrap() > 0);
    assert!(found["channels"].as_array().is_some_and(|c| !c.is_empty()));
    let text = good(&["inspect", &fixture("v2.gdf")]);
    assert!(text.contains("GDF 2") && text.contains("channel"), "{text}");
    let text = good(&["inspect", &fixture("numpy.npz")]);
    assert!(
        text.contains("float64") && text.contains("(2, 3)"),
        "{text}"
    );
}

#[test]
fn the_shipped_data_set_is_described() {
    let found = json(&["inspect", "basic-motions"]);
    assert_eq!(found["channels"].as_array().unwrap().len(), 6);
    let classes = found["classes"]["classes"].as_array().unwrap();
    assert!(
        classes
            .iter()
            .all(|c| c["count"] == 20 && c["share"] == 0.25)
    );
    let text = good(&["inspect", "basic-motions"]);
    assert!(
        text.contains("80 recordings of 6 sensors × 100 steps"),
        "{text}"
    );
    assert!(text.contains("40 train, 0 validation, 40 test"), "{text}");
}

#[test]
fn what_cannot_be_read_says_why() {
    let scratch = Scratch::new();
    let edf = std::fs::read(fixture("plain.edf")).unwrap();
    let cut = scratch.file("cut.edf", &edf[..edf.len() - 100]);
    for (target, expected) in [
        (scratch.path("none.edf"), "none.edf"),
        (scratch.file("empty.edf", b""), "is empty"),
        (
            scratch.file("text.edf", b"no EDF at all"),
            "does not begin like EDF",
        ),
        (cut.clone(), "cut.edf"),
        (scratch.file("ragged.csv", b"a,b\n1,2\n3\n"), "ragged.csv"),
        (
            scratch.file("noise.bin", &[0, 1, 2, 0xff]),
            "like no format",
        ),
        ("basic-motion".into(), "did you mean \"basic-motions\""),
        (scratch.path(""), "dataset.toml"),
    ] {
        let text = bad(&["inspect", &target]);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(good(&["inspect", &cut, "--accept-damaged"]).contains("EDF"));
    let renamed = scratch.file("renamed.gdf", &edf);
    assert!(good(&["inspect", &renamed]).contains("the name says GDF, the content is EDF"));
}

#[test]
fn pictures_are_drawn() {
    let scratch = Scratch::new();
    let png = scratch.path("a.png");
    good(&["plot", "basic-motions", "-o", &png]);
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    let svg = scratch.path("a.svg");
    good(&["plot", &fixture("plain.edf"), "-o", &svg, "--length", "1"]);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));
    let text = bad(&["plot", "basic-motions", "-o", &scratch.path("a.jpg")]);
    assert!(text.contains("neither .png nor .svg"), "{text}");
    let text = bad(&["plot", "basic-motions", "-o", &png, "--sensors", "nose"]);
    assert!(text.contains("unknown sensor \"nose\""), "{text}");
    let text = bad(&["plot", "basic-motions", "-o", &scratch.path("none/a.png")]);
    assert!(text.contains("a.png"), "{text}");
}

#[test]
fn files_are_fetched_from_a_folder_and_verified() {
    assert!(good(&["fetch", "--list"]).contains("los-loop"));
    let text = bad(&["fetch", "los-lop"]);
    assert!(text.contains("did you mean \"los-loop\""), "{text}");
    let scratch = Scratch::new();
    let to = scratch.path("data");
    let text = bad(&["fetch", "chickenpox", "--to", &to, "--offline"]);
    assert!(
        text.contains("offline") && text.contains("chickenpox.json"),
        "{text}"
    );
    let output = data(&["fetch", "tusz", "--to", &to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("how to get it"), "{}", out(&output));
    assert!(!Path::new(&to).join("tusz").exists());
    let Some(shared) = shared() else { return };
    let mirror = shared.display().to_string();
    let text = good(&["fetch", "chickenpox", "--to", &to, "--mirror", &mirror]);
    for expected in ["licence: ", "cite: ", "1 fetched", "all verified"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let again = good(&["fetch", "chickenpox", "--to", &to, "--offline"]);
    assert!(again.contains("0 fetched"), "{again}");
    let file = Path::new(&to).join("chickenpox/chickenpox.json");
    std::fs::write(&file, "{}").unwrap();
    let text = bad(&["fetch", "chickenpox", "--to", &to, "--offline"]);
    assert!(text.contains("SHA-256"), "{text}");
}

#[test]
fn sets_behind_an_agreement_say_how_to_get_them() {
    let scratch = Scratch::new();
    let here = scratch.path("");
    let all = json(&["list", "--data-dir", &here]);
    for name in ["tusz", "dodh", "bcicha", "mamem"] {
        let set = all.as_array().unwrap().iter().find(|s| s["name"] == name);
        let set = set.unwrap();
        assert_eq!(set["purpose"], "classification");
        assert_eq!(set["state"], "by-hand");
        let output = data(&["fetch", name, "--to", &here]);
        assert_eq!(output.status.code(), Some(1));
        let layout = format!("  {name}/");
        assert!(out(&output).contains(&layout), "{}", out(&output));
        let text = bad(&["inspect", name, "--data-dir", &here]);
        assert!(
            text.contains("--data-dir") && text.contains(&here),
            "{text}"
        );
    }
    let accept = |fault| data(&["inspect", "tusz", "--data-dir", &here, "--accept", fault]);
    assert_eq!(accept("missing-sessions").status.code(), Some(1));
    let output = accept("mixed-rate");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("did you mean \"mixed-rates\""), "{errors}");
}
