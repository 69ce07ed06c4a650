//! From the files of each set to batches, as a training takes the way, and what listing and
//! inspecting say of them.

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
    more: &'static str,
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
        more: "window = { length = 12 }\n",
        nodes: 19,
        rate: 200.0,
        counted: ("time steps", 0),
        subjects: "3",
    },
    Set {
        name: "dodh",
        zip: "dodh.zip",
        folder: "dodh",
        more: "",
        nodes: 16,
        rate: 250.0,
        counted: ("trials", 5),
        subjects: "3",
    },
    Set {
        name: "bcicha",
        zip: "bcicha.zip",
        folder: "inria-bci-challenge",
        more: "",
        nodes: 56,
        rate: 200.0,
        counted: ("trials", 11),
        subjects: "2",
    },
    Set {
        name: "mamem",
        zip: "mamem_2.zip",
        folder: "mamem",
        more: "",
        nodes: 8,
        rate: 250.0,
        counted: ("trials", 6),
        subjects: "1",
    },
];

#[test]
fn files_become_batches() {
    for set in SETS {
        let folder = unpacked(set.zip, set.folder);
        let kept = tempfile::tempdir().unwrap();
        let options = CacheOptions {
            mode: CacheMode::Always,
            folder: Some(kept.path().into()),
        };
        let toml = format!("name = \"{}\"\n{}", set.name, set.more);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut data = load_with(&config(folder.path(), &toml), &options).unwrap();
            let fold = &plan(&data, &SplitConfig::for_dataset(&data)).unwrap()[0];
            fold.verify(&data).unwrap();
            assert!(fold.parts().iter().all(|(_, samples)| !samples.is_empty()));
            let graph = build(&GraphConfig::for_dataset(&data), &data, &fold.train).unwrap();
            assert_eq!(graph.n_nodes(), set.nodes);
            assert!(graph.n_edges() > 0, "{}", set.name);
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
                assert_eq!(batch.features.dim().1, set.nodes);
                seen.push(batch.features.sum());
                drawn.extend(batch.index[..batch.valid].to_vec());
            }
            drawn.sort_unstable();
            assert_eq!(drawn, train, "{}", set.name);
        }
        let (fresh, cached) = seen.split_at(seen.len() / 2);
        assert_eq!(fresh, cached, "{}", set.name);
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
