use tgmamba_graph::split::{SplitConfig, SplitMethod};
use tgmamba_graph::topology::GraphConfig;

use super::{compare, failure, loaded, record, unpacked};

const ALL: &str = "name = \"dodh\"\n";

#[test]
fn epochs_of_all_nights() {
    let folder = unpacked("dodh.zip", "dodh");
    let data = loaded(folder.path(), ALL).unwrap();
    let worst = compare(&data, &record("dodh.json")["all"]);
    println!("dodh: largest difference {worst:.1e}");
    // Rounding the filtered signal to single precision alone makes 1.3e-5 at these places.
    assert!(worst < 3e-5, "{worst}");
    assert_eq!(data.classes, ["wake", "N1", "N2", "N3", "REM"]);
    assert_eq!(data.sensors[15], "EOG2");
    assert!(data.positions.is_none());
    assert_eq!(GraphConfig::for_dataset(&data), GraphConfig::correlation());
    // Epochs of one night stay together.
    assert_eq!(data.recording, [0, 0, 1, 1, 2]);
    assert_eq!(data.sources.len(), 4);
    assert_eq!(SplitConfig::for_dataset(&data).method, SplitMethod::Given);
    // Without the table there are no parts, and with another there are others.
    let table = folder.path().join("dodh/patient_split.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::remove_file(&table).unwrap();
    let data = loaded(folder.path(), ALL).unwrap();
    assert!(data.part.iter().all(Option::is_none));
    assert_eq!(
        SplitConfig::for_dataset(&data).method,
        SplitMethod::GroupSubject
    );
    let lines: Vec<&str> = text.lines().filter(|l| !l.contains("119f9726")).collect();
    std::fs::write(folder.path().join("dodh/mine.csv"), lines.join("\n")).unwrap();
    let text = failure(
        folder.path(),
        "name = \"dodh\"\nsplit_file = \"mine.csv\"\n",
    );
    assert!(
        text.contains("mine.csv") && text.contains("119f9726"),
        "{text}"
    );
    // Derivations of the EEG have places.
    let some = "name = \"dodh\"\nchannels = [\"F3_F4\", \"C3_M2\"]\n[features]\nkind = \"raw\"\n";
    let data = loaded(folder.path(), some).unwrap();
    assert_eq!(data.x.dim(), (5, 2, 7500, 1));
    let positions = data.positions.unwrap();
    assert!(positions[[0, 0]].abs() < 1e-9, "{positions}");
}

#[test]
fn faults_are_named_and_may_be_accepted() {
    let folder = unpacked("dodh.zip", "dodh");
    let text = failure(
        folder.path(),
        "name = \"dodh\"\nchannels = [\"C3_M2\", \"O1_M2\"]\n",
    );
    assert!(
        text.contains("no O1_M2; present: ") && text.contains("missing-channels"),
        "{text}"
    );
    let night = folder
        .path()
        .join("dodh/119f9726-eb4c-5a0e-a7bb-9e15256149a1.h5");
    let bytes = std::fs::read(&night).unwrap();
    std::fs::write(&night, &bytes[..bytes.len() / 2]).unwrap();
    let text = failure(folder.path(), ALL);
    assert!(text.contains("119f9726"), "{text}");
    let text = failure(
        folder.path(),
        "name = \"dodh\"\nsubjects = [\"119f9726\"]\n",
    );
    assert!(text.contains("did you mean \"119f9726-eb4c"), "{text}");
    let empty = tempfile::tempdir().unwrap();
    let text = failure(empty.path(), ALL);
    assert!(
        text.contains("dodh/*.h5") && text.contains("dreem-learning-open"),
        "{text}"
    );
}
