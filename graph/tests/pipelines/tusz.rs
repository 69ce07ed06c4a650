use std::collections::BTreeSet;
use std::path::Path;

use tgmamba_graph::Part;
use tgmamba_graph::cache::{Cache, CacheMode, CacheOptions};
use tgmamba_graph::datasets::load_with;
use tgmamba_graph::split::{SplitConfig, SplitMethod, plan};
use tgmamba_graph::topology::{GraphConfig, build};

use super::{compare, config, failure, loaded, record, unpacked};

const RAW: &str = "name = \"tusz\"\nwindow = { length = 12 }\n[features]\nkind = \"raw\"\n";
const SPECTRA: &str = "name = \"tusz\"\nwindow = { length = 12 }\n";
const TYPES: &str = "name = \"tusz\"\ntask = \"classification\"\nwindow = { length = 12 }\n";

#[test]
fn both_layouts_and_both_tasks() {
    let record = record("tusz.json");
    let (v1, v2) = (
        unpacked("tusz_v1.zip", "tusz"),
        unpacked("tusz_v2.zip", "tusz/v2.0.6"),
    );
    let ten = "name = \"tusz\"\nwindow = { length = 10 }\n[features]\n";
    let frequency = "kind = \"log-spectrum\"\nsegment_seconds = 1\nstandardize = \"frequency\"\n";
    for (folder, name, toml) in [
        (&v1, "v1_detection_12_raw", RAW.to_string()),
        (&v1, "v1_detection_12", SPECTRA.into()),
        (&v1, "v1_classification_12", TYPES.into()),
        (
            &v1,
            "v1_detection_10_frequency",
            format!("{ten}{frequency}"),
        ),
        (
            &v1,
            "v1_detection_10_time",
            format!("{ten}kind = \"raw\"\nstandardize = \"time\"\n"),
        ),
        (&v2, "v2_detection_12", SPECTRA.into()),
        (&v2, "v2_classification_12", TYPES.into()),
    ] {
        let data = loaded(folder.path(), &toml).unwrap();
        let worst = compare(&data, &record[name]);
        println!("{name}: largest difference {worst:.1e}");
        assert!(worst < 1e-5, "{name}: {worst}");
        assert_eq!(data.sampling_rate, Some(200.0));
    }
    // Nothing is 60 s long here, which is the length unless another is asked for.
    let text = failure(v1.path(), "name = \"tusz\"");
    assert!(text.contains("window.length"), "{text}");
}

#[test]
fn graph_sources_and_split() {
    let v1 = unpacked("tusz_v1.zip", "tusz");
    let data = loaded(v1.path(), SPECTRA).unwrap();
    assert_eq!(data.sensors[12..16], ["T7", "T8", "P7", "P8"]);
    assert_eq!(data.classes, ["background", "seizure"]);
    assert_eq!(data.positions.as_ref().unwrap().dim(), (19, 3));
    assert_eq!(GraphConfig::for_dataset(&data), GraphConfig::Given {});
    let graph = build(&GraphConfig::Given {}, &data, &[]).unwrap();
    assert_eq!(graph.n_edges(), 72);
    // Each recording and the annotations that were read of it.
    assert_eq!(data.sources.len(), 6);
    assert!(data.sources.iter().all(|s| s.sha256.len() == 64));
    // Windows of one recording stay together.
    assert_eq!(data.recording, [0, 0, 1, 1, 1, 2, 2]);
    let one = format!("subjects = [\"00000629\"]\n{SPECTRA}");
    assert_eq!(loaded(v1.path(), &one).unwrap().x.len(), 3);
    let text = failure(v1.path(), &one.replace("00000629", "00000620"));
    assert!(
        text.contains("unknown subject") && text.contains("00000629"),
        "{text}"
    );
    // Two of the channels, and pairs of electrodes instead of them, which have no given graph.
    let two = format!("channels = [\"T3\", \"Fz\"]\n{RAW}");
    let two = loaded(v1.path(), &two).unwrap();
    let all = loaded(v1.path(), RAW).unwrap();
    assert_eq!(two.sensors, ["T7", "Fz"]);
    assert_eq!(two.x[[3, 0, 77, 0]], all.x[[3, 12, 77, 0]]);
    let pairs = loaded(v1.path(), &format!("{RAW}montage = [\"Fp1-F7\"]\n")).unwrap();
    let difference = all.x[[1, 0, 5, 0]] - all.x[[1, 10, 5, 0]];
    assert!((pairs.x[[1, 0, 5, 0]] - difference).abs() < 1e-3);
}

#[test]
fn windows_go_through_the_cache_recording_by_recording() {
    let v1 = unpacked("tusz_v1.zip", "tusz");
    let folder = tempfile::tempdir().unwrap();
    let always = CacheOptions {
        mode: CacheMode::Always,
        folder: Some(folder.path().join("windows")),
    };
    for toml in [RAW, SPECTRA, TYPES] {
        let fresh = loaded(v1.path(), toml).unwrap();
        for _ in 0..2 {
            let kept = load_with(&config(v1.path(), toml), &always).unwrap();
            assert_eq!(kept.x, fresh.x);
            assert_eq!(kept.mask, fresh.mask);
            assert_eq!(kept.sources, fresh.sources);
            assert_eq!((&kept.y, &kept.part), (&fresh.y, &fresh.part));
            assert_eq!(kept.recording, fresh.recording);
            assert_eq!(
                (&kept.subject, &kept.session),
                (&fresh.subject, &fresh.session)
            );
        }
    }
    let cache = Cache::at(folder.path().join("windows"));
    assert_eq!(cache.list().unwrap().len(), 3);
    assert!(cache.verify().unwrap().is_empty());
    // A recording without seizures that changes has a say all the same.
    let quiet = "tusz/edf/dev/03_tcp_ar_a/010/00001027/s001_2005_03_04/00001027_s001_t000.tse";
    let text = "version = tse_v1.0.0\n\n0.0 5.0 bckg 1.0\n5.0 20.0 gnsz 1.0\n20.0 25.0 bckg 1.0\n";
    std::fs::write(v1.path().join(quiet), text).unwrap();
    let more = load_with(&config(v1.path(), TYPES), &always).unwrap();
    assert_eq!(more.y, [0, 1, 2, 3, 1]);
    // An error of the files is one here too, and leaves nothing behind.
    std::fs::write(v1.path().join(quiet), "version = tse_v9\n").unwrap();
    let text = load_with(&config(v1.path(), TYPES), &always).unwrap_err();
    assert!(text.to_string().contains(".tse"), "{text}");
    assert_eq!(cache.list().unwrap().len(), 4);
}

#[test]
fn patients_of_the_training_part_validate() {
    let v1 = unpacked("tusz_v1.zip", "tusz");
    let edf = v1.path().join("tusz/edf");
    let quiet = edf.join("dev/03_tcp_ar_a/010/00001027/s001_2005_03_04/00001027_s001_t000");
    for patient in ["00002001", "00002002", "00002003"] {
        let session = format!("train/03_tcp_ar_a/020/{patient}/s001_2006_01_01");
        let to = edf.join(session).join(format!("{patient}_s001_t000"));
        for end in ["edf", "tse", "tse_bi"] {
            copy(&quiet.with_extension(end), &to.with_extension(end));
        }
    }
    let data = loaded(v1.path(), SPECTRA).unwrap();
    let method = SplitConfig::for_dataset(&data);
    assert_eq!(method.method, SplitMethod::Given);
    let fold = &plan(&data, &method).unwrap()[0];
    let subjects = data.subject.as_ref().unwrap();
    let of = |windows: &[usize]| -> BTreeSet<&str> {
        windows.iter().map(|i| subjects[*i].as_str()).collect()
    };
    assert_eq!(of(&fold.test), BTreeSet::from(["00001027"]));
    let (train, validation) = (of(&fold.train), of(&fold.validation));
    assert!(train.is_disjoint(&validation) && !validation.is_empty());
    assert_eq!(train.len() + validation.len(), 5);
}

#[test]
fn parts_of_the_folders_or_of_a_table() {
    let v2 = unpacked("tusz_v2.zip", "tuh_eeg_seizure");
    let data = loaded(v2.path(), SPECTRA).unwrap();
    assert_eq!(
        data.part,
        [Part::Train, Part::Train, Part::Validation, Part::Test].map(Some)
    );
    let edf = v2.path().join("tuh_eeg_seizure/edf");
    std::fs::write(
        edf.join("parts.csv"),
        "subject,split\naaaaaaac,test\naaaaaaap,train\naaaaabcd,train\n",
    )
    .unwrap();
    let toml = format!("split_file = \"parts.csv\"\n{SPECTRA}");
    let data = loaded(v2.path(), &toml).unwrap();
    assert_eq!(
        data.part,
        [Part::Test, Part::Test, Part::Train, Part::Train].map(Some)
    );
    assert!(data.sources.iter().any(|s| s.path.ends_with("parts.csv")));
    std::fs::write(edf.join("parts.csv"), "subject,split\naaaaaaac,test\n").unwrap();
    let text = failure(v2.path(), &toml);
    assert!(
        text.contains("parts.csv") && text.contains("aaaaaaap"),
        "{text}"
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

#[test]
fn patients_in_two_parts() {
    let v1 = unpacked("tusz_v1.zip", "tusz");
    let edf = v1.path().join("tusz/edf");
    let from = edf.join("train/02_tcp_le/006/00000629/s001_2004_01_02/00000629_s001_t001");
    let to = edf.join("dev/02_tcp_le/006/00000629/s002_2004_01_03/00000629_s002_t000");
    for end in ["edf", "lbl", "lbl_bi"] {
        copy(&from.with_extension(end), &to.with_extension(end));
    }
    let text = failure(v1.path(), SPECTRA);
    assert!(text.contains("00000629 are in more than one"), "{text}");
    assert!(text.contains("accept = [\"shared-subjects\"]"), "{text}");
    let accepted = format!("accept = [\"shared-subjects\"]\n{SPECTRA}");
    let data = loaded(v1.path(), &accepted).unwrap();
    let of = |part| data.part.iter().filter(|p| **p == Some(part)).count();
    assert_eq!((of(Part::Train), of(Part::Test)), (5, 2));
}

#[test]
fn faults_are_named_and_may_be_accepted() {
    let edit = |work: &dyn Fn(&Path)| {
        let v1 = unpacked("tusz_v1.zip", "tusz");
        let session = "tusz/edf/train/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000";
        work(&v1.path().join(session));
        v1
    };
    let bytes_of = |path: &Path| std::fs::read(path.with_extension("edf")).unwrap();
    let rename = |path: &Path, from: &str, to: &str| {
        let mut bytes = bytes_of(path);
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(path.with_extension("edf"), bytes).unwrap();
    };
    for (fault, accept, expected) in [
        (
            &(|path: &Path| rename(path, "EEG T3-REF", "EEG X3-REF")) as &dyn Fn(&Path),
            "missing-channels",
            "T7 are not there",
        ),
        (
            &|path: &Path| {
                for end in ["tse", "tse_bi"] {
                    std::fs::remove_file(path.with_extension(end)).unwrap();
                }
            },
            "unlabelled",
            "there is none beside it",
        ),
    ] {
        let folder = edit(fault);
        let text = failure(folder.path(), SPECTRA);
        assert!(
            text.contains(expected) && text.contains("00000258_s002_t000"),
            "{text}"
        );
        assert!(text.contains(accept), "{text}");
        let data = loaded(
            folder.path(),
            &format!("accept = [\"{accept}\"]\n{SPECTRA}"),
        )
        .unwrap();
        assert_eq!(data.x.len(), 5, "{accept}");
    }
    // Cut short: whole seconds are read where that is accepted.
    let folder = edit(&|path| {
        let bytes = bytes_of(path);
        std::fs::write(
            path.with_extension("edf"),
            &bytes[..bytes.len() - 5 * 8000 - 1],
        )
        .unwrap();
    });
    let text = failure(folder.path(), SPECTRA);
    assert!(text.contains("number of records"), "{text}");
    let accepted = format!("accept = [\"incomplete\"]\n{SPECTRA}");
    assert_eq!(loaded(folder.path(), &accepted).unwrap().x.len(), 7);
    // A label that is none of the corpus, and a file that is none of it.
    let folder = edit(&|path| {
        std::fs::write(path.with_extension("tse_bi"), "0.0 30.0 size 1.0\n").unwrap();
    });
    let text = failure(folder.path(), SPECTRA);
    assert!(
        text.contains("\"size\" is none") && text.contains("tse_bi"),
        "{text}"
    );
    let folder = edit(&|path| {
        copy(
            &path.with_extension("edf"),
            &path.with_file_name("copy.edf"),
        )
    });
    let text = failure(folder.path(), SPECTRA);
    assert!(
        text.contains("copy.edf") && text.contains("SUBJECT_sNNN_tNNN"),
        "{text}"
    );
}

#[test]
fn nothing_there_says_where_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    let text = failure(empty.path(), SPECTRA);
    for part in ["tusz/edf/train", "piconepress.com", "rsync", "--data-dir"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::create_dir_all(empty.path().join("tusz/edf/train")).unwrap();
    let text = failure(empty.path(), SPECTRA);
    assert!(text.contains("no .edf file"), "{text}");
    for version in ["v1.5.2", "v2.0.6"] {
        std::fs::create_dir_all(empty.path().join("tusz").join(version).join("edf/train")).unwrap();
    }
    std::fs::remove_dir_all(empty.path().join("tusz/edf")).unwrap();
    let text = failure(empty.path(), SPECTRA);
    assert!(
        text.contains("v1.5.2") && text.contains("name the folder"),
        "{text}"
    );
    let text = failure(empty.path(), "name = \"eegmat\"\ntask = \"detection\"\n");
    assert!(text.contains("eegmat has no such option"), "{text}");
    let text = failure(
        empty.path(),
        "name = \"tusz\"\naccept = [\"missing-sessions\"]\n",
    );
    assert!(text.contains("no \"missing-sessions\""), "{text}");
}
