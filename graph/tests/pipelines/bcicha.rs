use std::path::Path;

use tgmamba_graph::split::{SplitConfig, SplitMethod, plan};
use tgmamba_graph::topology::GraphConfig;

use super::{compare, failure, loaded, record, unpacked};

const ALL: &str = "name = \"bcicha\"\n";

#[test]
fn feedbacks_of_all_sessions() {
    let folder = unpacked("bcicha.zip", "bcicha");
    let data = loaded(folder.path(), ALL).unwrap();
    let worst = compare(&data, &record("bcicha.json")["all"]);
    println!("bcicha: largest difference {worst:.1e}");
    assert!(worst < 1e-5, "{worst}");
    assert_eq!(data.sensors[53], "PO8");
    assert_eq!(data.classes, ["wrong", "right"]);
    assert_eq!(data.positions.as_ref().unwrap().dim(), (56, 3));
    assert_eq!(GraphConfig::for_dataset(&data), GraphConfig::gaussian());
    // 10 sessions and the labels.
    assert_eq!(data.sources.len(), 11);
    // Each feedback for itself, so that a split may draw them one by one.
    assert_eq!(data.recording, (0..11).collect::<Vec<_>>());
    assert_eq!(data.session.as_ref().unwrap()[2], "S02/2");
    let config = SplitConfig::for_dataset(&data);
    assert_eq!(config.method, SplitMethod::Given);
    let fold = &plan(&data, &config).unwrap()[0];
    assert_eq!(
        (fold.validation.as_slice(), fold.test.as_slice()),
        (&[4, 9][..], &[5, 10][..])
    );
    // The folder itself, one subject, another stretch.
    let toml = "name = \"bcicha\"\nsubjects = [\"S06\"]\nchannels = [\"cz\", \"P08\"]\n\
                [features]\ncrop_seconds = [0.1, 0.6]\n";
    let data = loaded(&folder.path().join("bcicha"), toml).unwrap();
    assert_eq!(data.x.dim(), (5, 2, 100, 1));
    assert_eq!(data.sensors, ["Cz", "PO8"]);
}

#[test]
fn places_of_the_electrodes() {
    let Some(shared) = super::shared_data() else {
        return;
    };
    let folder = unpacked("bcicha.zip", "bcicha");
    let table = shared.join("electrodes/ChannelsLocationBCIcha.csv");
    std::fs::copy(table, folder.path().join("bcicha/ChannelsLocation.csv")).unwrap();
    let standard = loaded(&unpacked("bcicha.zip", "bcicha").path().join("bcicha"), ALL).unwrap();
    let own = loaded(folder.path(), ALL).unwrap();
    let (a, b) = (standard.positions.unwrap(), own.positions.unwrap());
    for (name, (a, b)) in own.sensors.iter().zip(a.outer_iter().zip(b.outer_iter())) {
        let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(apart.sqrt() < 0.01, "{name}: {a} {b}");
    }
    assert_eq!(own.sources.len(), 12);
}

fn edited(file: &str, edit: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = unpacked("bcicha.zip", "bcicha");
    let path = folder.path().join("bcicha").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, edit(text)).unwrap();
    folder
}

#[test]
fn faults_are_named_and_may_be_accepted() {
    let first = "train/Data_S02_Sess01.csv";
    let accept = |folder: &Path, fault: &str| {
        let toml = format!("name = \"bcicha\"\naccept = [\"{fault}\"]\n");
        loaded(folder, &toml).unwrap().x.len()
    };
    let folder = edited("TrainLabels.csv", |t| {
        t.replace("S02_Sess01_FB002,", "S02_Sess02_FB002,")
    });
    let text = failure(folder.path(), ALL);
    // Files are read at the same time: that of either session may be the first to fail.
    let either = ["1 labels for 2 feedbacks", "2 labels for 1 feedbacks"];
    assert!(either.iter().any(|e| text.contains(e)), "{text}");
    assert_eq!(accept(folder.path(), "unlabelled"), 8);
    let folder = edited("TrainLabels.csv", |t| {
        t.replace("S02_Sess01_FB002,", "S02_Sess01_FB003,")
    });
    assert!(failure(folder.path(), ALL).contains("a gap"), "numbers");
    let folder = edited("TrainLabels.csv", |t| {
        t.replace("Sess01_FB001,1", "Sess01_FB001,2")
            .replace("Sess01_FB001,0", "Sess01_FB001,2")
    });
    assert!(failure(folder.path(), ALL).contains("neither 0 nor 1"));
    let folder = edited(first, |t| t.replacen(",FCz,", ",FCx,", 1));
    let text = failure(folder.path(), ALL);
    assert!(
        text.contains("no column FCz") && text.contains("Data_S02_Sess01"),
        "{text}"
    );
    let folder = edited(first, |t| {
        t.lines().take(700).collect::<Vec<_>>().join("\n") + "\n"
    });
    let text = failure(folder.path(), ALL);
    assert!(text.contains("ends 229 samples after feedback 2"), "{text}");
    assert_eq!(accept(folder.path(), "incomplete"), 10);
    // A second is missing from the clock before the second feedback's trial ends.
    let folder = edited(first, |t| {
        let keep = |(i, _): &(usize, &str)| !(520..=525).contains(i);
        let lines: Vec<&str> = t.lines().enumerate().filter(keep).map(|l| l.1).collect();
        lines.join("\n") + "\n"
    });
    let text = failure(folder.path(), ALL);
    assert!(text.contains("the clock has 1 gaps"), "{text}");
    assert_eq!(accept(folder.path(), "breaks"), 10);
    let folder = unpacked("bcicha.zip", "bcicha");
    std::fs::remove_file(folder.path().join("bcicha/train/Data_S06_Sess04.csv")).unwrap();
    let text = failure(folder.path(), ALL);
    assert!(text.contains("Data_S06_Sess04.csv not there"), "{text}");
    assert_eq!(accept(folder.path(), "missing-sessions"), 10);
    let text = failure(folder.path(), "name = \"bcicha\"\nsubjects = [\"S07\"]\n");
    assert!(
        text.contains("unknown subject") && text.contains("S06"),
        "{text}"
    );
    let empty = tempfile::tempdir().unwrap();
    let text = failure(empty.path(), ALL);
    for part in [
        "bcicha/TrainLabels.csv",
        "kaggle.com/c/inria-bci-challenge",
        "ChannelsLocation",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
