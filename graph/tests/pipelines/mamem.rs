use super::{compare, failure, loaded, record, unpacked};

const ALL: &str = "name = \"mamem\"\n";
/// Trials of the small files of dataset III last 1.3 s.
pub(super) const THREE: &str = "name = \"mamem\"\naccept = [\"missing-sessions\"]\n[features]\n\
                     crop_seconds = [0.2, 1.2]\n\
                     steps = [{ kind = \"butterworth\", highpass_hz = 1, lowpass_hz = 50 }, \
                     { kind = \"resample\", hz = 125 }]\n";

#[test]
fn windows_of_both_datasets() {
    let record = record("mamem.json");
    let two = unpacked("mamem_2.zip", "mamem");
    let data = loaded(two.path(), ALL).unwrap();
    let worst = compare(&data, &record["II"]);
    println!("mamem II: largest difference {worst:.1e}");
    assert!(worst < 1e-5, "{worst}");
    assert_eq!(
        data.sensors,
        ["PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2"]
    );
    assert_eq!(data.classes[0], "12 Hz");
    assert_eq!(data.positions.as_ref().unwrap().dim(), (8, 3));
    assert_eq!(data.session.as_ref().unwrap()[8], "T001/b");
    // Four windows of a trial stay together.
    assert_eq!(data.recording[..9], [0, 0, 0, 0, 1, 1, 1, 1, 2]);
    let three = unpacked("mamem_3.zip", "MAMEM");
    let data = loaded(three.path(), THREE).unwrap();
    let worst = compare(&data, &record["III"]);
    println!("mamem III: largest difference {worst:.1e}");
    // An offset of 4000 uV is in the signal, of which its rounding to single precision remains.
    assert!(worst < 3e-5, "{worst}");
    assert_eq!(data.sensors[6..8], ["O1", "O2"]);
    let some = format!("channels = [\"O1\", \"T4\"]\n{THREE}");
    assert_eq!(loaded(three.path(), &some).unwrap().sensors, ["O1", "T8"]);
    let net = "name = \"mamem\"\nchannels = [\"E126\", \"E1\"]\n";
    let data = loaded(two.path(), net).unwrap();
    assert!(data.positions.is_none() && data.x[[0, 1, 5, 0]] == 0.0);
    let text = failure(two.path(), "name = \"mamem\"\nchannels = [\"Fz\"]\n");
    assert!(text.contains("unknown channel \"Fz\""), "{text}");
}

#[test]
fn faults_are_named_and_may_be_accepted() {
    let two = unpacked("mamem_2.zip", "mamem");
    let folder = two.path().join("mamem");
    let accept = |fault: &str| {
        let toml = format!("name = \"mamem\"\naccept = [\"{fault}\"]\n");
        loaded(two.path(), &toml).map(|d| d.x.len())
    };
    // One session's file in the place of another's: its labels do not fit.
    std::fs::rename(folder.join("T001e.mat"), folder.join("e")).unwrap();
    let text = failure(two.path(), ALL);
    assert!(
        text.contains("T001e.mat not there") && text.contains("missing-sessions"),
        "{text}"
    );
    assert_eq!(accept("missing-sessions").unwrap(), 20);
    let bytes = std::fs::read(folder.join("e")).unwrap();
    std::fs::write(folder.join("T001e.mat"), &bytes[..bytes.len() - 100]).unwrap();
    let text = failure(two.path(), ALL);
    assert!(
        text.contains("T001e.mat") && text.contains("cut short"),
        "{text}"
    );
    std::fs::copy(folder.join("T001x.mat"), folder.join("T001e.mat")).unwrap();
    let text = failure(two.path(), ALL);
    assert!(text.contains("DIN_1"), "{text}");
    std::fs::rename(folder.join("e"), folder.join("T001e.mat")).unwrap();
    let three = unpacked("mamem_3.zip", "mamem");
    for half in ["U001bi.mat", "U001bii.mat"] {
        std::fs::copy(three.path().join("mamem").join(half), folder.join(half)).unwrap();
    }
    let text = failure(two.path(), ALL);
    assert!(
        text.contains("dataset II (T...) and of dataset III"),
        "{text}"
    );
    // The second half has a sequence of 13, the first one of 12.
    let three = three.path();
    let (i, ii) = (
        three.join("mamem/U001bi.mat"),
        three.join("mamem/U001bii.mat"),
    );
    std::fs::copy(&ii, &i).unwrap();
    let text = failure(three, THREE);
    assert!(
        text.contains("13 starts and 13 stops for a sequence of 12"),
        "{text}"
    );
    let both = THREE.replace("[\"missing", "[\"unlabelled\", \"missing");
    assert_eq!(loaded(three, &both).unwrap().x.len(), 13);
    let empty = tempfile::tempdir().unwrap();
    let text = failure(empty.path(), ALL);
    assert!(
        text.contains("mamem/T001a.mat") && text.contains("figshare"),
        "{text}"
    );
}
