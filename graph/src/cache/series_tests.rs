//! Series out of the cache against series freshly read.

use std::fs;

use super::*;
use crate::datasets::{SeriesConfig, SeriesSet, load_series_with};
use crate::series::{SeriesGraph, TimePolicy};

/// Two sensors at forty hours, of which one is left out and some are missing.
fn source() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40)
        .filter(|h| *h != 17)
        .map(|h| {
            let second = if h % 9 == 4 {
                String::new()
            } else {
                format!("{}", 0.1 * h as f64)
            };
            format!("2024-03-{:02}T{:02}:00,{h},{second}\n", 1 + h / 24, h % 24)
        })
        .collect();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("flow.csv", &format!("when,a,b\n{rows}"));
    write("p.csv", "name,lat,lon\na,52.1,13.1\nb,52.0,13.3\n");
    write("e.csv", "from,to,weight\na,b,0.3\n");
    write(
        "dataset.toml",
        "files = \"flow.csv\"\npositions = \"p.csv\"\n[csv]\ntime = \"when\"\n[graph]\n\
         edges = \"e.csv\"\n[clock]\ngaps = \"fill\"\n[forecast]\nfeature = \"flow\"\n\
         history = 6\nhorizon = 3\ntrain = 0.61803398874989\n",
    );
    folder
}

fn config(folder: &Path) -> SeriesConfig {
    SeriesConfig {
        name: folder.display().to_string(),
        ..Default::default()
    }
}

fn options(cache: &Cache, mode: CacheMode) -> CacheOptions {
    CacheOptions {
        mode,
        folder: Some(cache.folder().into()),
    }
}

/// Everything but where the values lie; numbers bit by bit.
fn text(set: &SeriesSet) -> String {
    let s = &set.series;
    let bits: Vec<u32> = s.values().iter().map(|v| v.to_bits()).collect();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {bits:?} {:?} {:?} {:?}",
        s.info,
        s.sensors,
        s.features,
        s.time,
        s.positions,
        s.graph,
        s.observed(),
        s.sources,
        set.protocol,
        set.clock
    )
}

#[test]
fn a_series_comes_back_as_it_was_read() {
    let (source, place) = (source(), tempfile::tempdir().unwrap());
    let cache = Cache::at(place.path().join("windows"));
    let load = |config: &SeriesConfig, mode| load_series_with(config, &options(&cache, mode));
    let own = config(source.path());
    let read = load(&own, CacheMode::Off).unwrap();
    assert!(cache.list().unwrap().is_empty());
    // Reading it takes no half second.
    load(&own, CacheMode::Auto).unwrap();
    assert!(cache.list().unwrap().is_empty());
    for _ in 0..2 {
        let kept = load(&own, CacheMode::Always).unwrap();
        assert_eq!(text(&kept), text(&read));
    }
    assert!(!read.series.is_observed(17, 0, 0) && read.series.is_observed(16, 0, 0));
    let entries = cache.list().unwrap();
    assert_eq!(entries.len(), 1);
    let content = entries[0].content.as_ref().unwrap();
    assert_eq!(content.shape, (1, 2, 40, 1));
    assert!(cache.verify().unwrap().is_empty());
    // Another way with the clock is another series.
    let other = SeriesConfig {
        clock: Some(TimePolicy::keep_gaps()),
        ..own.clone()
    };
    assert_eq!(load(&other, CacheMode::Always).unwrap().series.len(), 39);
    assert_eq!(cache.list().unwrap().len(), 2);
    // And so is another file.
    let path = source.path().join("flow.csv");
    let changed = fs::read_to_string(&path).unwrap().replace(",39,", ",38,");
    fs::write(&path, changed).unwrap();
    let series = load(&own, CacheMode::Always).unwrap().series;
    assert_eq!(series.value(39, 0, 0), 38.0);
    assert_eq!(cache.list().unwrap().len(), 3);
}

#[test]
fn damaged_series_are_read_again() {
    let (source, place) = (source(), tempfile::tempdir().unwrap());
    let cache = Cache::at(place.path().join("windows"));
    let always = options(&cache, CacheMode::Always);
    let own = config(source.path());
    let read = load_series_with(&own, &always).unwrap();
    let path = cache.list().unwrap()[0].path.clone();
    let whole = fs::read(&path).unwrap();
    for cut in [0, 9, whole.len() / 2, whole.len() - 1] {
        // Files of a cache are replaced, not changed: others may have them mapped.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(cache.list().unwrap()[0].content.is_err(), "{cut}");
        assert_eq!(text(&load_series_with(&own, &always).unwrap()), text(&read));
        assert!(cache.list().unwrap()[0].content.is_ok(), "{cut}");
    }
    // A value that has changed is found by its hash, one in the footer when the file is opened.
    let value = 39.0f32.to_le_bytes();
    let at = whole.windows(4).position(|w| w == value).unwrap();
    let mut bytes = whole.clone();
    bytes[at] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    let faults = cache.verify().unwrap();
    assert!(faults[0].1.to_string().contains("has other values"));
    for i in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[i] ^= 0x10;
        let _ = series::parse(&arrow::buffer::Buffer::from(bytes), &path);
    }
}

#[test]
fn a_graph_for_each_step_is_kept_once() {
    let place = tempfile::tempdir().unwrap();
    let cache = Cache::at(place.path().join("windows"));
    let source = source();
    let with_graphs = || {
        let mut set = load_series_with(&config(source.path()), &CacheOptions::off())?;
        let graph = |w| crate::topology::CsrGraph::from_edges(2, &[(0, 1, w)]);
        let two = [graph(1.0)?, graph(2.0)?].map(std::sync::Arc::new);
        let graphs = (0..40).map(|t| std::sync::Arc::clone(&two[t / 10 % 2]));
        set.series = set
            .series
            .with_graph(SeriesGraph::PerStep(graphs.collect()))?;
        Ok(set)
    };
    let request = Request {
        parameters: serde_json::json!(["series", "graphs"]),
        roots: vec![source.path().into()],
    };
    let always = options(&cache, CacheMode::Always);
    let kept = series_through(&always, &request, with_graphs).unwrap();
    assert_eq!(text(&kept), text(&with_graphs().unwrap()));
    let again = || -> Result<SeriesSet> { panic!("it is in the cache") };
    let kept = series_through(&always, &request, again).unwrap();
    assert_eq!(text(&kept), text(&with_graphs().unwrap()));
    let Some(SeriesGraph::PerStep(graphs)) = &kept.series.graph else {
        panic!("no graphs")
    };
    assert!(std::sync::Arc::ptr_eq(&graphs[0], &graphs[25]));
}
