//! From the files of each set to batches, as a training takes the way, and what listing and
//! inspecting say of them.

use std::path::Path;
use std::sync::Arc;

use tgmamba_graph::cache::{CacheMode, CacheOptions};
use tgmamba_graph::datasets::{Purpose, State, list, load_with};
use tgmamba_graph::fetch::{self, FetchOptions, Outcome};
use tgmamba_graph::inspect::{ExcerptOptions, InspectOptions, excerpt, inspect};
use tgmamba_graph::loader::{Loader, LoaderConfig};
use tgmamba_graph::scale::{ScaleConfig, Scaler};
use tgmamba_graph::split::{SplitConfig, plan};
use tgmamba_graph::topology::{GraphConfig, build};

use super::{config, unpacked};

struct Set {
    name: &'static str,
    zip: &'static str,
    folder: &'static str,
    nodes: usize,
    rate: f64,
    /// What its classes are counted in, and how many there are.
    counted: (&'static str, u64),
    subjects: &'static str,
}

const SETS: [Set; 4] = [
    Set {
        name: "tusz",
        zip: "tusz_v2.zip",
        folder: "tuh_eeg_seizure",
        nodes: 19,
        rate: 200.0,
        counted: ("time steps", 0),
        subjects: "3",
    },
    Set {
        name: "dodh",
        zip: "dodh.zip",
        folder: "dodh",
        nodes: 16,
        rate: 250.0,
        counted: ("trials", 5),
        subjects: "3",
    },
    Set {
        name: "bcicha",
        zip: "bcicha.zip",
        folder: "inria-bci-challenge",
        nodes: 56,
        rate: 200.0,
        counted: ("trials", 11),
        subjects: "2",
    },
    Set {
        name: "mamem",
        zip: "mamem_2.zip",
        folder: "mamem",
        nodes: 8,
        rate: 250.0,
        counted: ("trials", 6),
        subjects: "1",
    },
];

/// Copies `from` to `to`, both below a folder.
fn copy(folder: &Path, from: &str, to: &str) {
    std::fs::copy(folder.join(from), folder.join(to)).unwrap();
}

/// Every night in every part: each stage is scored in one of them only.
fn nights() -> tempfile::TempDir {
    let folder = unpacked("dodh.zip", "dodh");
    let dodh = folder.path().join("dodh");
    let files = std::fs::read_dir(&dodh).unwrap().flatten();
    let names = files.map(|e| e.file_name().into_string().unwrap());
    let mut table = String::from("record_id,split\n");
    for name in names.filter(|n| n.ends_with(".h5")).collect::<Vec<_>>() {
        table += &format!("{name},train\n");
        for part in ["val", "test"] {
            copy(&dodh, &name, &format!("{part}-{name}"));
            table += &format!("{part}-{name},{part}\n");
        }
    }
    std::fs::write(dodh.join("patient_split.csv"), table).unwrap();
    folder
}

/// Sessions b, d and e, which train, validate and test.
fn sessions() -> tempfile::TempDir {
    let folder = unpacked("mamem_3.zip", "mamem");
    for half in ["i", "ii"] {
        for session in ["d", "e"] {
            let inside = folder.path().join("mamem");
            let to = format!("U001{session}{half}.mat");
            copy(&inside, &format!("U001b{half}.mat"), &to);
        }
    }
    folder
}

#[test]
fn files_become_batches() {
    let tusz = "name = \"tusz\"\nwindow = { length = 12 }\n";
    for (folder, toml, nodes, samples) in [
        (
            unpacked("tusz_v2.zip", "tuh_eeg_seizure"),
            tusz,
            19,
            [2, 1, 1],
        ),
        (nights(), "name = \"dodh\"\n", 16, [5, 5, 5]),
        (
            unpacked("bcicha.zip", "bcicha"),
            "name = \"bcicha\"\n",
            56,
            [7, 2, 2],
        ),
        (sessions(), super::mamem::THREE, 14, [25, 25, 25]),
    ] {
        let kept = tempfile::tempdir().unwrap();
        let options = CacheOptions {
            mode: CacheMode::Always,
            folder: Some(kept.path().into()),
        };
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut data = load_with(&config(folder.path(), toml), &options).unwrap();
            let fold = &plan(&data, &SplitConfig::for_dataset(&data)).unwrap()[0];
            fold.verify(&data).unwrap();
            assert_eq!(fold.parts().map(|(_, part)| part.len()), samples, "{toml}");
            let graph = build(&GraphConfig::for_dataset(&data), &data, &fold.train).unwrap();
            assert_eq!(graph.n_nodes(), nodes);
            assert!(graph.n_edges() > 0, "{toml}");
            let scaler = Scaler::fit(&data, &fold.train, ScaleConfig::Standard).unwrap();
            scaler.apply_dataset(&mut data).unwrap();
            let how = LoaderConfig {
                batch_size: 2,
                ..Default::default()
            };
            let train = fold.train.clone();
            let loader = Loader::new(Arc::new(data), train.clone(), how).unwrap();
            let mut drawn = Vec::new();
            for batch in loader.batches(0, 0) {
                assert!(batch.features.iter().all(|x| x.is_finite()));
                assert_eq!(batch.features.dim().1, nodes);
                seen.push(batch.features.sum());
                drawn.extend(batch.index[..batch.valid].to_vec());
            }
            drawn.sort_unstable();
            assert_eq!(drawn, train, "{toml}");
        }
        let (fresh, cached) = seen.split_at(seen.len() / 2);
        assert_eq!(fresh, cached, "{toml}");
    }
}

#[test]
fn listed_and_inspected() {
    for set in SETS {
        let folder = unpacked(set.zip, set.folder);
        let dir = Some(folder.path());
        let of = |all: Vec<tgmamba_graph::datasets::Listed>| {
            let found = all.into_iter().filter(|s| s.name == set.name);
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), 1, "{}", set.name);
            assert_eq!(found[0].purpose, Purpose::Classification);
            assert!(!found[0].title.is_empty() && !found[0].licence.is_empty());
            found[0].state.clone()
        };
        let here = State::Here(folder.path().join(set.folder));
        assert_eq!(of(list(dir)), here);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(of(list(Some(empty.path()))), State::ByHand);
        let told = fetch::fetch(set.name, &FetchOptions::default()).unwrap();
        let Outcome::ByHand(told) = told else {
            panic!("{} is fetched", set.name);
        };
        assert!(told.layout.starts_with(&format!("{}/", set.name)));

        let options = InspectOptions {
            data_dir: dir.map(Into::into),
            ..Default::default()
        };
        let found = inspect(set.name, &options).unwrap();
        assert_eq!(found.channels.len(), set.nodes);
        assert_eq!(found.time.as_ref().unwrap().rate_hz, Some(set.rate));
        let fact = |name: &str| found.facts.iter().find(|f| f.name == name);
        assert_eq!(fact("subjects").unwrap().value, set.subjects);
        assert!(fact("parts given with the data").is_some());
        let classes = found.classes.as_ref().unwrap();
        let counted: u64 = classes.classes.iter().map(|c| c.count).sum();
        assert_eq!(classes.of, set.counted.0);
        match set.counted.1 {
            0 => {
                let steps = found.time.as_ref().unwrap().steps.unwrap();
                assert_eq!(counted, steps);
                assert!(classes.classes.iter().all(|c| c.count > 0));
            }
            trials => assert_eq!(counted, trials),
        }
        assert_eq!(classes.without, 0);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(found.bytes > 1000 * files as u64);
        let how = ExcerptOptions {
            inspect: options,
            recording: Some(1),
            ..Default::default()
        };
        let drawn = excerpt(set.name, &how).unwrap();
        assert_eq!(drawn.sensors.len(), set.nodes);
        let how = ExcerptOptions {
            recording: Some(99),
            ..how
        };
        let text = excerpt(set.name, &how).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("there is no recording 99 of"), "{text}");
    }
}

#[test]
fn options_reach_the_inspection() {
    let folder = unpacked("tusz_v1.zip", "tusz");
    let options = InspectOptions {
        data_dir: Some(folder.path().into()),
        task: Some("classification".parse().unwrap()),
        channels: vec!["Fz".into(), "T3".into()],
        ..Default::default()
    };
    let found = inspect("tusz", &options).unwrap();
    let names: Vec<&str> = found.channels.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["Fz", "T7"]);
    let classes = found.classes.as_ref().unwrap();
    assert_eq!(
        (classes.of.as_str(), classes.classes.len()),
        ("recordings", 4)
    );
    let options = InspectOptions {
        split_file: Some("none.csv".into()),
        ..options
    };
    let text = inspect("tusz", &options).unwrap_err().to_string();
    assert!(text.contains("none.csv"), "{text}");
}
