//! Data sets as a user loads them: the one that ships, those whose files lie beside the project
//! (skipped where they do not), and folders with a `dataset.toml`.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array3, Axis, s};
use tgmamba_graph::datasets::{Accept, DatasetConfig, load, load_recordings};
use tgmamba_graph::formats::arff;
use tgmamba_graph::formats::npy::write_npz;
use tgmamba_graph::series::TimePolicy;
use tgmamba_graph::windows::{Unit, WindowConfig};
use tgmamba_graph::{Labels, Part};

/// The folder of the files that do not ship, where it is there.
fn data_dir() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn named(name: &str, data_dir: Option<PathBuf>) -> DatasetConfig {
    DatasetConfig {
        name: name.into(),
        data_dir,
        ..Default::default()
    }
}

#[test]
fn basic_motions_ships() {
    let data = load(&DatasetConfig::default()).unwrap();
    assert_eq!(data.x.dim(), (80, 6, 100, 1));
    assert_eq!(
        data.classes,
        ["Standing", "Running", "Walking", "Badminton"]
    );
    for class in 0..4 {
        for part in [Part::Train, Part::Test] {
            let count = (0..80)
                .filter(|i| data.y[*i] == class && data.part[*i] == Some(part))
                .count();
            assert_eq!(count, 10);
        }
    }
    assert_eq!(data.x[[0, 0, 2, 0]], -0.903497);
    assert_eq!(data.sensors[3], "gyroscope x");
    assert_eq!(
        data.sources[0].sha256,
        "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6"
    );
    assert!(data.mask.is_none() && data.subject.is_none());
}

#[test]
fn ssvep_trials_sessions_and_spectra() {
    let Some(dir) = data_dir() else { return };
    let mut config = named("ssvep-exo", Some(dir.clone()));
    config.subjects = vec!["subject01".into(), "subject10".into()];
    let set = load_recordings(&config).unwrap();
    assert_eq!(set.recordings[0].signal.dim(), (8, 1280, 1));
    let data = load(&config).unwrap();
    // 4 s in frames of 2 s every half second, six bands.
    assert_eq!(data.x.dim().1, 8);
    assert_eq!((data.x.dim().2, data.x.dim().3), (5, 6));
    for class in 0..4 {
        let count = data.y.iter().filter(|y| **y == class).count();
        assert_eq!(count * 4, data.y.len());
    }
    let sessions = data.session.as_ref().unwrap();
    assert!(sessions.iter().any(|s| s == "subject01/0"));
    assert!(sessions.iter().any(|s| s == "subject10/0"));
    assert_eq!(data.positions.as_ref().unwrap().dim(), (8, 3));
    assert!(data.x.to_array().iter().all(|v| v.is_finite()));
    // Over all trials of 13 Hz, occipital power stands out at 13 Hz against 14 Hz.
    let mut excess = 0.0;
    for (x, y) in data.x.iter().zip(&data.y) {
        if *y == 1 {
            let mean = x.mean_axis(Axis(0)).unwrap().mean_axis(Axis(0)).unwrap();
            excess += mean[3] - mean[4];
        }
    }
    assert!(excess > 0.0, "{excess}");
    // The folder itself is accepted too.
    config.data_dir = Some(dir.join("ssvep_exo"));
    assert_eq!(load(&config).unwrap().y, data.y);
    config.subjects = vec!["subject1".into()];
    let text = load(&config).unwrap_err().to_string();
    assert!(text.contains("unknown subject"), "{text}");
}

#[test]
fn ssvep_whole_set() {
    let Some(dir) = data_dir() else { return };
    let set = load_recordings(&named("ssvep-exo", Some(dir))).unwrap();
    assert_eq!(set.recordings.len(), 864);
    let mut sessions: Vec<_> = set
        .recordings
        .iter()
        .map(|r| (r.subject.clone(), r.session.clone()))
        .collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 27);
    assert_eq!(set.sources.len(), 13);
}

#[test]
fn ssvep_from_the_continuous_recording() {
    let Some(dir) = data_dir() else { return };
    let mut config = named("ssvep-exo", Some(dir.join("ssvep_exo/gdf")));
    let set = load_recordings(&config).unwrap();
    config.data_dir = Some(dir.clone());
    config.subjects = vec!["subject03".into()];
    let cut = load_recordings(&config).unwrap();
    assert_eq!(set.recordings.len(), 32);
    for (ours, theirs) in set.recordings.iter().zip(&cut.recordings) {
        assert_eq!(ours.labels, theirs.labels);
        assert_eq!(ours.subject, theirs.subject);
        assert_eq!(ours.session.as_deref(), Some("2012.07.11-15.25.23"));
        for (a, b) in ours.signal.iter().zip(&theirs.signal) {
            assert!((a - b).abs() < 1e-8, "{a} {b}");
        }
    }
    // The layout of the authors' repository, with a session that is left out.
    let folder = tempfile::tempdir().unwrap();
    let source = dir.join("ssvep_exo/gdf/subject03_2012.07.11-15.25.23.gdf");
    for (subject, date) in [
        ("subject03", "2012.07.11-15.25.23"),
        ("subject07", "2012.07.11-15.33.08"),
    ] {
        let sub = folder.path().join("ssvep-exo").join(subject);
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::copy(&source, sub.join(format!("record-[{date}].gdf"))).unwrap();
    }
    let again = load_recordings(&named("ssvep-exo", Some(folder.path().into()))).unwrap();
    assert_eq!(again.recordings.len(), 32);
    assert_eq!(again.recordings[5].name, set.recordings[5].name);
}

#[test]
fn eegmat_rest_and_arithmetic() {
    let Some(dir) = data_dir() else { return };
    let data = load(&named("eegmat", Some(dir.clone()))).unwrap();
    // 182 s and 62 s in windows of 5 s, at 125 Hz.
    assert_eq!(data.x.dim(), (36 + 12, 19, 625, 1));
    assert_eq!(data.classes, ["rest", "arithmetic"]);
    assert_eq!(data.y.iter().filter(|y| **y == 1).count(), 12);
    assert_eq!(
        (data.sensors[0].as_str(), data.sensors[18].as_str()),
        ("Fp1", "Pz")
    );
    assert_eq!(data.subject.as_ref().unwrap()[40], "Subject00");
    let positions = data.positions.as_ref().unwrap();
    // T3 is on the left, Pz in the middle behind the ears.
    assert!(positions[[6, 0]] < -0.07 && positions[[18, 0]].abs() < 0.01);
    let raw = load_recordings(&named("eegmat", Some(dir.clone()))).unwrap();
    assert_eq!(raw.recordings[0].signal.dim(), (19, 91_000, 1));
    assert_eq!(raw.recordings[1].signal.dim(), (19, 31_000, 1));
    // Microvolts.
    let top = raw.recordings[0]
        .signal
        .iter()
        .fold(0f32, |m, v| m.max(v.abs()));
    assert!((20.0..200.0).contains(&top), "{top}");
    // The folder itself, and a subject whose second file is missing.
    let folder = tempfile::tempdir().unwrap();
    let mut config = named("eegmat", Some(folder.path().into()));
    for name in ["Subject00_1", "Subject00_2", "Subject35_1"] {
        let from = dir.join(format!("eegmat_sample/{}.edf", name.replace("35", "00")));
        std::fs::copy(from, folder.path().join(format!("{name}.edf"))).unwrap();
    }
    let text = load_recordings(&config).unwrap_err().to_string();
    assert!(text.contains("Subject35_2.edf"), "{text}");
    config.subjects = vec!["Subject00".into()];
    let again = load_recordings(&config).unwrap();
    assert_eq!(again.recordings[1].signal, raw.recordings[1].signal);
    config.subjects = vec!["Subject36".into()];
    let text = load_recordings(&config).unwrap_err().to_string();
    assert!(text.contains("unknown subject"), "{text}");
}

#[test]
fn finger_movements_official_split() {
    let Some(dir) = data_dir() else { return };
    let data = load(&named("finger-movements", Some(dir.clone()))).unwrap();
    assert_eq!(data.x.dim(), (416, 28, 50, 1));
    assert_eq!(data.classes, ["left", "right"]);
    let count = |part, class| {
        (0..416)
            .filter(|i| data.part[*i] == Some(part) && data.y[*i] == class)
            .count()
    };
    assert_eq!((count(Part::Train, 0), count(Part::Train, 1)), (159, 157));
    assert_eq!((count(Part::Test, 0), count(Part::Test, 1)), (49, 51));
    assert_eq!(
        (data.sensors[0].as_str(), data.sensors[27].as_str()),
        ("F3", "O2")
    );
    assert_eq!(data.positions.unwrap().dim(), (28, 3));
    let raw = load_recordings(&named("finger-movements", Some(dir))).unwrap();
    // scipy.io.loadmat: x_train[0, 0, 0], x_train[49, 27, 315], x_test[10, 3, 99]
    let at = |i: usize, v: usize, t: usize| raw.recordings[i].signal[[v, t, 0]];
    assert_eq!(at(0, 0, 0), 41.8);
    assert_eq!(at(315, 27, 49), 102.4);
    assert_eq!(at(415, 3, 10), 43.8);
}

/// A folder with two subjects of four samples, three sensors, twenty steps.
fn own_set(toml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in ["s1.npz", "s2.npz"].into_iter().enumerate() {
        let x = Array3::from_shape_fn((4, 20, 3), |(n, t, v)| {
            (1000 * i + 100 * n + 10 * v) as f32 + t as f32 / 100.0
        });
        let y = Array1::from(vec![0.0f32, 1.0, 0.0, 1.0]);
        write_npz(
            folder.path().join(name),
            &[("signal", x.into_dyn()), ("y", y.into_dyn())],
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("edges.csv"), "from,to,weight\na,b,2\n").unwrap();
    std::fs::write(
        folder.path().join("p.csv"),
        "name,x,y\na,0,0\nb,1,0\nc,2,0\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("dataset.toml"), toml).unwrap();
    folder
}

const OWN: &str = "files = \"s*.npz\"\nlayout = \"samples time nodes\"\nsampling_rate = 10\n\
                   sensors = [\"a\", \"b\", \"c\"]\npositions = \"p.csv\"\n\
                   subject_from_file = true\n[variables]\nx = \"signal\"\n\
                   [graph]\nedges = \"edges.csv\"\n[window]\nlength = 1\n";

fn own(folder: &tempfile::TempDir) -> DatasetConfig {
    named(&folder.path().display().to_string(), None)
}

#[test]
fn a_folder_of_arrays() {
    let folder = own_set(OWN);
    let mut config = own(&folder);
    let data = load(&config).unwrap();
    assert_eq!(data.x.dim(), (16, 3, 10, 1));
    assert_eq!(data.x[[1, 2, 3, 0]], 20.13);
    assert_eq!(&data.y[..4], [0, 0, 1, 1]);
    assert_eq!(data.classes, ["0", "1"]);
    assert_eq!(data.adjacency.as_ref().unwrap()[[1, 0]], 2.0);
    assert_eq!(data.positions.as_ref().unwrap()[[2, 0]], 2.0);
    assert_eq!(data.sources.len(), 5);
    config.subjects = vec!["s2".into()];
    config.window = Some(WindowConfig {
        length: Some(20.0),
        stride: None,
        unit: Unit::Samples,
    });
    let data = load(&config).unwrap();
    assert_eq!(data.x.dim(), (4, 3, 20, 1));
    assert_eq!(data.subject.unwrap(), ["s2"; 4]);
    assert_eq!(data.x[[0, 0, 0, 0]], 1000.0);
}

#[test]
fn wrong_descriptions_say_what_and_where() {
    for (from, to, expected) in [
        (
            "samples time nodes",
            "samples nodes time",
            "20 nodes, but there are 3 sensors",
        ),
        ("samples time nodes", "time nodes", "has shape [4, 20, 3]"),
        ("samples time nodes", "", "layout"),
        ("\"signal\"", "\"x\"", "present: signal, y"),
        ("\"s*.npz\"", "\"t*.npz\"", "no file matches"),
        ("\"c\"]", "\"d\"]", "p.csv: d"),
        ("sampling_rate = 10\n", "", "sampling rate"),
        ("edges = ", "edge = ", "unknown field `edge`"),
        (
            "sampling_rate",
            "classes = [\"x\", \"y\", \"z\"]\nlabel_values = [1, 2, 3]\nsampling_rate",
            "label \"0\" is none of the 3 classes",
        ),
        (
            "sampling_rate",
            "classes = [\"x\"]\nsampling_rate",
            "label \"1\"",
        ),
    ] {
        assert!(OWN.contains(from), "{from}");
        let folder = own_set(&OWN.replace(from, to));
        let text = load(&own(&folder)).unwrap_err().to_string();
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_folder_of_tables_with_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.csv", "time,p,q\n0,1,2\n1,3,4\n2,5,6\n");
    write("b.csv", "time,p,q\n0,1,2\n1,,4\n2,5,6\n");
    write(
        "m.csv",
        "file,label,subject,part\na.csv,walk,s1,train\nb.csv,run,s2,test\n",
    );
    let toml = "manifest = \"m.csv\"\nmissing = \"mask\"\n[csv]\nskip = [\"time\"]\n";
    write("dataset.toml", toml);
    let config = own(&folder);
    let data = load(&config).unwrap();
    assert_eq!(data.x.dim(), (2, 2, 3, 1));
    assert_eq!(data.classes, ["run", "walk"]);
    assert_eq!(data.y, [1, 0]);
    assert_eq!(data.sensors, ["p", "q"]);
    assert_eq!(data.part, [Some(Part::Train), Some(Part::Test)]);
    assert!(!data.mask.as_ref().unwrap()[[1, 0, 1]]);
    assert_eq!(data.x[[1, 0, 1, 0]], 0.0);
    write("dataset.toml", &toml.replace("mask", "error"));
    let text = load(&config).unwrap_err().to_string();
    assert!(
        text.contains("recording b") && text.contains("sensor p") && text.contains("time step 1"),
        "{text}"
    );
    write("b.csv", "time,p,r\n0,1,2\n1,2,4\n2,5,6\n");
    assert!(load(&config).unwrap_err().to_string().contains("p, r"));
    write("m.csv", "file,label\na.csv,walk\nc.csv,run\n");
    assert!(load(&config).unwrap_err().to_string().contains("c.csv"));
}

#[test]
fn eye_state_with_a_class_for_every_sample() {
    let Some(dir) = data_dir() else { return };
    let config = named("eeg-eye-state", Some(dir));
    let set = load_recordings(&config).unwrap();
    let r = &set.recordings[0];
    assert_eq!(r.signal.dim(), (14, 14_980, 1));
    assert_eq!(r.signal[[0, 0, 0]], 4329.23);
    assert_eq!(
        (set.sensors[0].as_str(), set.sensors[13].as_str()),
        ("AF3", "AF4")
    );
    let Labels::PerStep(y) = &r.labels else {
        panic!()
    };
    let closed = y.iter().filter(|c| **c == 1).count();
    assert_eq!((y.len() - closed, closed), (8257, 6723));
    assert_eq!(1 + y.windows(2).filter(|w| w[0] != w[1]).count(), 24);
    let mask = r.mask.as_ref().unwrap();
    let glitches: Vec<usize> = (0..14_980).filter(|t| !mask[[0, *t]]).collect();
    assert_eq!(glitches, [898, 10_386, 11_509, 13_179]);
    let data = load(&config).unwrap();
    assert_eq!(data.dim(), (117, 14, 128, 1));
    let x = data.gather(&(0..117).collect::<Vec<_>>());
    // Filtered, and without the glitches, nothing is left of their 700,000.
    assert!(x.iter().all(|v| v.abs() < 1000.0));
    assert!(data.positions.is_some());
}

#[test]
fn clocks_of_tables_are_checked_and_mended_when_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.csv",
        "when,p,state\n2020-01-01 00:00,1,x\n2020-01-01 00:30,4,y\n2020-01-01 00:20,3,x\n\
         2020-01-01 00:00,9,y\n",
    );
    let toml = "files = \"a.csv\"\nmissing = \"mask\"\n[csv]\ntime = \"when\"\nlabel = \"state\"\n";
    write("dataset.toml", toml);
    let config = own(&folder);
    let text = load(&config).unwrap_err().to_string();
    assert!(
        text.contains("a.csv") && text.contains("row 2 (2020-01-01 00:20:00)"),
        "{text}"
    );
    assert!(
        text.contains("clock.order") && text.contains("--clock mend"),
        "{text}"
    );
    let clock = "[clock]\norder = \"sort\"\nduplicates = \"first\"\ngaps = \"fill\"\n";
    write("dataset.toml", &format!("{toml}{clock}"));
    let data = load(&config).unwrap();
    assert_eq!(data.sampling_rate, Some(1.0 / 600.0));
    let x = [0, 1, 2, 3].map(|t| data.x[[0, 0, t, 0]]);
    assert_eq!(x, [1.0, 0.0, 3.0, 4.0]);
    let mask = data.mask.unwrap().window(0).row(0).to_vec();
    assert_eq!(mask, [true, false, true, true]);
    // The same without touching the folder.
    write("dataset.toml", toml);
    let asked = load(&DatasetConfig {
        clock: Some(TimePolicy::mend()),
        ..config.clone()
    });
    assert_eq!(asked.unwrap().x.to_array(), data.x.to_array());
    let years = load(&DatasetConfig {
        years: vec![2019],
        ..config
    });
    assert!(years.unwrap_err().to_string().contains("dataset.years"));
}

#[test]
fn faults_of_a_folder_are_accepted_one_by_one() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    for name in ["plus_c.edf", "v2.gdf"] {
        std::fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
    }
    let bytes = std::fs::read(fixtures.join("plus_c.edf")).unwrap();
    std::fs::write(folder.path().join("cut.edf"), &bytes[..bytes.len() - 700]).unwrap();
    let window = "[window]\nlength = 0.5\n";
    let load = |toml: &str, accept: &[Accept]| {
        std::fs::write(
            folder.path().join("dataset.toml"),
            format!("{toml}{window}"),
        )
        .unwrap();
        let config = DatasetConfig {
            accept: accept.to_vec(),
            ..own(&folder)
        };
        load(&config).map(|d| (d.dim(), d.sensors.clone()))
    };
    let refused = |toml: &str| load(toml, &[]).unwrap_err().to_string();
    let rates = "files = \"plus_c.edf\"\n";
    assert!(refused(rates).contains("samples per second"));
    let (dim, sensors) = load(rates, &[Accept::MixedRates]).unwrap();
    assert_eq!((dim.2, sensors.len()), (32, dim.1));
    let one = "files = [\"plus_c.edf\", \"v2.gdf\"]\n[recording]\nchannels = [\"T7\"]\n";
    assert!(refused(one).contains("channel T7"), "{}", refused(one));
    let alone = one.replace(", \"v2.gdf\"", "");
    let left = load(one, &[Accept::MissingChannels]).unwrap();
    assert_eq!(left, load(&alone, &[]).unwrap());
    let breaks = "files = \"v2.gdf\"\n";
    assert!(refused(breaks).contains("breaks"));
    assert!(load(breaks, &[Accept::Breaks]).unwrap().0.0 > 0);
    let cut = "files = \"cut.edf\"\n[recording]\nchannels = [\"T7\"]\n";
    assert!(
        refused(cut).contains("number of records"),
        "{}",
        refused(cut)
    );
    let shorter = load(cut, &[Accept::Incomplete]).unwrap().0.0;
    assert!(shorter > 0 && shorter < left.0.0);
    // Labels of one file only.
    std::fs::write(
        folder.path().join("m.csv"),
        "file,label\nplus_c.edf,x\ncut.edf,\n",
    )
    .unwrap();
    let some = format!(
        "manifest = \"m.csv\"\n{}",
        "[recording]\nchannels = [\"T7\"]\n"
    );
    let both = [Accept::Incomplete, Accept::Unlabelled];
    assert_eq!(load(&some, &both).unwrap().0, left.0);
    let text = load(rates, &[Accept::SharedSubjects])
        .unwrap_err()
        .to_string();
    assert!(text.contains("missing-channels, unlabelled"), "{text}");
}

#[test]
fn a_folder_of_the_uea_archive_with_a_graph_in_xml() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text");
    let folder = tempfile::tempdir().unwrap();
    let arff = folder.path().join("relational.arff");
    std::fs::copy(fixtures.join("relational.arff"), &arff).unwrap();
    let samples = arff::read(&arff).unwrap().into_ts(&arff).unwrap();
    let (n, v, l) = samples.x.dim();
    let names: Vec<String> = (0..v).map(|i| format!("s{i}")).collect();
    let toml = format!(
        "files = \"*.arff\"\nsensors = {names:?}\nmissing = \"mask\"\n[graph]\n\
         adjacency = \"g.graphml\"\n"
    );
    std::fs::write(folder.path().join("dataset.toml"), toml).unwrap();
    // The nodes in another order than the sensors.
    let nodes: String = names
        .iter()
        .rev()
        .map(|n| format!("<node id=\"{n}\"/>"))
        .collect();
    let xml = |nodes: &str| {
        format!(
            "<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\
             <graph edgedefault=\"directed\">{nodes}<edge source=\"s0\" target=\"s1\"/>\
             </graph></graphml>"
        )
    };
    std::fs::write(folder.path().join("g.graphml"), xml(&nodes)).unwrap();
    let data = load(&own(&folder)).unwrap();
    assert_eq!(data.dim(), (n, v, l, 1));
    assert_eq!(
        (data.y.clone(), data.classes.clone()),
        (samples.y, samples.classes)
    );
    let adjacency = data.adjacency.unwrap();
    assert_eq!((adjacency[[1, 0]], adjacency.sum()), (1.0, 1.0));
    let more = format!("{nodes}<node id=\"other\"/>");
    std::fs::write(folder.path().join("g.graphml"), xml(&more)).unwrap();
    let text = load(&own(&folder)).unwrap_err().to_string();
    assert!(text.contains("sensors of the values"), "{text}");
}

#[test]
fn edf_and_gdf_files_with_annotations() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    for name in ["plus_c.edf", "plus_c.bdf", "v2.gdf"] {
        std::fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
    }
    let load = |toml: &str| {
        std::fs::write(folder.path().join("dataset.toml"), toml).unwrap();
        load(&own(&folder))
    };
    let common = "files = [\"plus_c.edf\", \"plus_c.bdf\"]\nclasses = [\"none\", \"a\", \"b\"]\n";
    // Classes of steps, in windows of half a second at 64 Hz.
    let steps = format!(
        "{common}[recording]\nchannels = [\"T7\", \"Fp1\"]\n[recording.labels]\notherwise = 0\n\
         [recording.labels.classes]\nT1 = 1\nT2 = 2\n[window]\nlength = 0.5\n"
    );
    let data = load(&steps).unwrap();
    assert_eq!(data.dim(), (12, 2, 32, 1));
    assert_eq!(data.sensors, ["T7", "Fp1"]);
    // T1 lasts from 0.25 s to 1.75 s: half of the fourth window, whose end is what counts then.
    assert_eq!(data.y[..6], [1, 1, 1, 0, 2, 0]);
    // Trials, with channels by the names of the sensors.
    let trials = format!(
        "{common}sensors = [\"Fp1\"]\n[trials]\nseconds = [0.0, 0.5]\n\
         classes = {{ T1 = 1, T2 = 2 }}\n"
    );
    let data = load(&trials).unwrap();
    assert_eq!(
        (data.dim(), &data.y[..]),
        ((4, 1, 32, 1), &[1, 2, 1, 2][..])
    );
    assert_eq!(data.sampling_rate, Some(64.0));
    let text = |toml: &str| load(toml).unwrap_err().to_string();
    let rates = text("files = \"plus_c.edf\"\n");
    assert!(rates.contains("has 16 samples per second"), "{rates}");
    let gap = text("files = \"v2.gdf\"\n");
    assert!(gap.contains("break") && gap.contains("accept"), "{gap}");
    let split = "files = \"v2.gdf\"\n[recording]\nbreaks = \"split\"\n[window]\nlength = 0.5";
    assert_eq!(load(split).unwrap().dim().1, 12);
    let class = text(&steps.replace("T2 = 2", "T2 = 3"));
    assert!(
        class.contains("label 3, but there are 3 classes"),
        "{class}"
    );
    let other = "files = [\"plus_c.edf\", \"v2.gdf\"]\n[recording]\nmixed_rates = \"most-common\"\n\
                 breaks = \"split\"";
    assert!(text(other).contains("are not Fp1, T7"), "{}", text(other));
}

#[test]
fn matlab_files_with_other_axes() {
    let Some(dir) = data_dir() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = dir.join("fingermovements/sp1s_aa.mat");
    let target = folder.path().join("a.mat");
    std::fs::copy(source, &target).unwrap();
    std::fs::write(
        folder.path().join("dataset.toml"),
        "files = \"a.mat\"\nlayout = \"time nodes samples\"\nsampling_rate = 100\n\
         classes = [\"left\", \"right\"]\n[variables]\nx = \"x_train\"\ny = \"y_train\"\n\
         sensors = \"clab\"\n",
    )
    .unwrap();
    let own = load(&own(&folder)).unwrap();
    let mut official = named("finger-movements", Some(dir));
    official.features = Some(Default::default());
    let official = load(&official).unwrap();
    assert_eq!(own.sensors, official.sensors);
    let official_x = official.x.to_array();
    assert_eq!(own.x.to_array(), official_x.slice(s![..316, .., .., ..]));
    assert_eq!(own.y, official.y[..316]);
    let bytes = std::fs::read(&target).unwrap();
    std::fs::write(&target, &bytes[..bytes.len() / 2]).unwrap();
    let text = load(&self::own(&folder)).unwrap_err().to_string();
    assert!(
        text.contains("a.mat") && text.contains("cut short"),
        "{text}"
    );
}
