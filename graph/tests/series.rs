//! Named series end to end: shapes, graphs, clocks, and the published or stated errors of simple
//! forecasts, which no reader that mixes up steps, sensors or missing values can reproduce.

use std::path::PathBuf;

use ndarray::Axis;
use tgmamba_graph::datasets::{SeriesConfig, SeriesSet, has_stamps, load_series};
use tgmamba_graph::series::{ForecastSplit, Positions, Series, Step, TimePolicy, write_stamp};

/// The shared files, where they are there.
fn data_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: {} is not there", dir.display());
    None
}

fn load(name: &str) -> Option<SeriesSet> {
    let set = load_series(&SeriesConfig {
        name: name.into(),
        data_dir: Some(data_dir()?),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(set.series.info.name, name);
    assert!(!set.series.info.licence.is_empty() && !set.series.info.citation.is_empty());
    assert!(set.series.sources.iter().all(|s| s.sha256.len() == 64));
    assert!(set.series.values().iter().all(|v| v.is_finite()));
    Some(set)
}

/// What a forecast of `truth[t]` sees: the series of one feature up to before it.
struct Errors {
    mae: f64,
    rmse: f64,
    mse: f64,
}

/// Errors of a forecast over windows and steps ahead `ahead`, where both are observed. `forecast`
/// is given the step before the horizon, the sensor and how far ahead, and says which step stands
/// for the future, or `None` for 0.
fn errors(
    s: &Series,
    starts: &[usize],
    history: usize,
    ahead: std::ops::RangeInclusive<usize>,
    forecast: impl Fn(usize, usize) -> Option<usize>,
) -> Errors {
    let (mut absolute, mut squared, mut n) = (0.0, 0.0, 0usize);
    for start in starts {
        let last = start + history - 1;
        for h in ahead.clone() {
            let from = forecast(last, h);
            for v in 0..s.sensors.len() {
                let seen = from.is_none_or(|t| s.is_observed(t, v, 0));
                if !seen || !s.is_observed(last + h, v, 0) {
                    continue;
                }
                let guess = from.map_or(0.0, |t| f64::from(s.values()[[t, v, 0]]));
                let e = f64::from(s.values()[[last + h, v, 0]]) - guess;
                absolute += e.abs();
                squared += e * e;
                n += 1;
            }
        }
    }
    let mse = squared / n as f64;
    Errors {
        mae: absolute / n as f64,
        rmse: mse.sqrt(),
        mse,
    }
}

fn last(t: usize, _: usize) -> Option<usize> {
    Some(t)
}

/// z-score of every node over the whole series (as PyTorch Geometric Temporal does, in f64).
fn standardised(s: Series) -> Series {
    let mut values = s.values().to_owned();
    for mut lane in values.lanes_mut(Axis(0)) {
        let n = lane.len() as f64;
        let mean = lane.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let sd = (lane
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / n)
            .sqrt();
        lane.mapv_inplace(|v| ((f64::from(v) - mean) / (sd + 1e-10)) as f32);
    }
    s.with_values(values).unwrap()
}

#[test]
fn los_loop_as_t_gcn_cuts_it() {
    let Some(set) = load("los-loop") else { return };
    let s = &set.series;
    assert_eq!(s.dim(), (2016, 207, 1));
    assert!(s.observed().is_none());
    assert_eq!(s.sensors[0], "773869");
    assert_eq!(
        s.sources[0].sha256,
        "7b732d86ae32b2930595becba28aff39dacbfb2197e250fc0332e1744ce2cbf4"
    );
    let range = s
        .values()
        .iter()
        .fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    assert_eq!(range, (1.0, 70.0));
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[2015]), "2012-03-07 23:55:00");
    assert_eq!(time.step().per_day(), Some(288));
    let graph = s.graph.as_ref().unwrap().at(0).unwrap().statistics();
    assert!(graph.symmetric);
    assert_eq!((graph.nodes, graph.self_loops), (207, 207));
    let Some(Positions::LatLon(p)) = &s.positions else {
        panic!()
    };
    assert_eq!(p.row(0).to_vec(), [34.15497, -118.31829]);
    // Persistence as stated with the files: horizons 1..pre together, range(len - 12 - pre).
    let split = ForecastSplit::Steps {
        train: 0.8,
        test: 0.2,
        drop_last: true,
    };
    for (pre, rmse, mae) in [
        (3, 5.543, 3.156),
        (6, 6.699, 3.632),
        (9, 7.628, 4.042),
        (12, 8.456, 4.433),
    ] {
        let test = split.starts(s.len(), 12, pre).unwrap().test;
        let e = errors(s, &test, 12, 1..=pre, last);
        assert!((e.rmse - rmse).abs() < 6e-4, "{pre}: {}", e.rmse);
        assert!((e.mae - mae).abs() < 6e-4, "{pre}: {}", e.mae);
    }
    // Ours keeps that test part and takes validation out of training.
    let p = &set.protocol;
    let ours = p.split.starts(s.len(), p.history, p.horizon).unwrap();
    let theirs = split.starts(s.len(), 12, 12).unwrap();
    assert_eq!(ours.test, theirs.test);
    assert!(ours.validation[0] > ours.train[ours.train.len() - 1] + 23);
    assert!(ours.validation[ours.validation.len() - 1] + 24 <= theirs.test[0]);
}

#[test]
fn beijing_air_with_its_missing_values() {
    let Some(set) = load("beijing-air") else {
        return;
    };
    let s = &set.series;
    assert_eq!(s.dim(), (35_064, 12, 13));
    assert!(set.clock.is_clean());
    assert_eq!(
        (s.sensors[0].as_str(), s.sensors[11].as_str()),
        ("Aotizhongxin", "Wanshouxigong")
    );
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[0]), "2013-03-01 00:00:00");
    assert_eq!(write_stamp(time.stamps()[35_063]), "2017-02-28 23:00:00");
    assert_eq!(time.step(), Step::Seconds(3600));
    let seen = s.observed().unwrap();
    let missing = |feature: &str| {
        let seen = seen.index_axis(Axis(2), s.feature(feature).unwrap());
        seen.iter().filter(|o| **o == 0).count() as f64 / seen.len() as f64
    };
    // pandas: 2.0769 % of PM2.5, 4.92 % of CO, 3.16 % of O3.
    assert!(
        (missing("PM2.5") - 0.020769).abs() < 1e-6,
        "{}",
        missing("PM2.5")
    );
    assert!((missing("CO") - 0.0492).abs() < 1e-4 && (missing("O3") - 0.0316).abs() < 1e-4);
    assert_eq!(missing("wind sin"), missing("wind cos"));
    let values = s.values();
    let pm = values.index_axis(Axis(2), 0);
    assert_eq!(pm.iter().fold(0.0f32, |a, b| a.max(*b)), 999.0);
    // First row of Aotizhongxin: 4,4,4,7,300,77,-0.7,1023,-18.8,0,"NNW",4.4
    let row = s.values().slice(ndarray::s![0, 0, ..]).to_vec();
    assert_eq!(
        row[..11],
        [
            4.0, 4.0, 4.0, 7.0, 300.0, 77.0, -0.7, 1023.0, -18.8, 0.0, 4.4
        ]
    );
    assert!((row[11] + 0.382_683_4).abs() < 1e-6 && (row[12] - 0.923_879_5).abs() < 1e-6);
    let Some(Positions::LatLon(p)) = &s.positions else {
        panic!()
    };
    assert_eq!(p.row(1).to_vec(), [40.217, 116.230]);
    // The listed distances are haversine ones: 29.7420 km from Aotizhongxin to Changping.
    let km = s.positions.as_ref().unwrap().distances()[[0, 1]] / 1000.0;
    assert!((km - 29.742).abs() < 0.01, "{km}");
    let graph = s.graph.as_ref().unwrap().at(0).unwrap().statistics();
    assert!(graph.symmetric && graph.self_loops == 0 && graph.edges > 0);
    // Last value inside the last fifth, as stated with the files.
    for (h, mae, rmse) in [(1, 10.10, 19.58), (6, 32.09, 55.64), (24, 57.59, 88.16)] {
        let test = set.protocol.split.starts(s.len(), 1, h).unwrap().test;
        let e = errors(s, &test, 1, h..=h, last);
        assert!((e.mae - mae).abs() < 6e-3, "{h}: {}", e.mae);
        assert!((e.rmse - rmse).abs() < 6e-3, "{h}: {}", e.rmse);
    }
}

#[test]
fn chickenpox_is_no_better_than_zero() {
    let Some(set) = load("chickenpox") else {
        return;
    };
    let s = &set.series;
    assert_eq!(s.dim(), (521, 20, 1));
    assert_eq!(
        (s.sensors[0].as_str(), s.sensors[2].as_str()),
        ("BACS", "BEKES")
    );
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    let figures = graph.statistics();
    assert_eq!((figures.edges, figures.self_loops), (102, 20));
    assert!(figures.symmetric && figures.components == 1);
    let test = ForecastSplit::WindowsFloor {
        train: 0.9,
        test: 0.1,
    }
    .starts(521, 4, 1)
    .unwrap()
    .test;
    assert_eq!(test.len(), 52);
    let ours = set.protocol.split.starts(521, 4, 1).unwrap();
    assert_eq!((&ours.test, ours.train.len()), (&test, 413));
    assert!((errors(s, &test, 4, 1..=1, |_, _| None).mse - 1.117).abs() < 6e-4);
    assert!((errors(s, &test, 4, 1..=1, last).mse - 3.032).abs() < 6e-4);
    // The mean of four weeks.
    let mut mean = s.values().to_owned();
    for t in (3..521).rev() {
        let values = s.values();
        let four = values.slice(ndarray::s![t - 3..=t, .., ..]);
        mean.index_axis_mut(Axis(0), t)
            .assign(&four.mean_axis(Axis(0)).unwrap());
    }
    let (mut squared, mut n) = (0.0, 0);
    for start in &test {
        for v in 0..20 {
            let e = s.values()[[start + 4, v, 0]] - mean[[start + 3, v, 0]];
            squared += f64::from(e * e);
            n += 1;
        }
    }
    assert!((squared / f64::from(n) - 1.472).abs() < 6e-4);
}

#[test]
fn england_covid_has_a_graph_for_every_day() {
    let Some(set) = load("england-covid") else {
        return;
    };
    let s = &set.series;
    assert_eq!(s.dim(), (61, 129, 1));
    let mean = s.values().mean().unwrap();
    let zeros = s.values().iter().filter(|v| **v == 0.0).count() as f64 / s.values().len() as f64;
    assert!((mean - 15.19265).abs() < 1e-4 && (zeros - 0.0593468).abs() < 1e-6);
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[60]), "2020-05-12 00:00:00");
    let graph = s.graph.as_ref().unwrap();
    assert!(graph.is_dynamic());
    let edges: Vec<usize> = (0..61).map(|t| graph.at(t).unwrap().n_edges()).collect();
    assert_eq!(
        (edges.iter().min(), edges.iter().max()),
        (Some(&836), Some(&2158))
    );
    // edge_index["0"] starts [23, 23], [47, 47], [41, 0]; weights 180647, 160550, 1498.
    let first = graph.at(0).unwrap();
    assert_eq!(
        (first.weight(23, 23), first.weight(0, 41)),
        (180_647.0, 1498.0)
    );
    let all: Vec<usize> = (0..60).collect();
    let e = errors(s, &all, 1, 1..=1, last);
    assert!((e.mae - 5.68).abs() < 6e-3, "{}", e.mae);
}

#[test]
fn montevideo_bus_in_the_order_of_its_stops() {
    let Some(set) = load("montevideo-bus") else {
        return;
    };
    let s = &set.series;
    assert_eq!(s.dim(), (744, 675, 1));
    assert_eq!(s.sensors[0], "5289");
    let zeros = s.values().iter().filter(|v| **v == 0.0).count() as f64 / s.values().len() as f64;
    assert!((s.values().mean().unwrap() - 0.746).abs() < 1e-3 && (zeros - 0.804).abs() < 1e-3);
    let time = s.time.as_ref().unwrap();
    assert_eq!(write_stamp(time.stamps()[743]), "2020-10-31 23:00:00");
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!(graph.n_edges(), 690);
    let to = s.sensor("5290").unwrap();
    assert_eq!(graph.weight(to, 0), 172.2);
    let Some(Positions::Metres(p)) = &s.positions else {
        panic!()
    };
    assert_eq!(p.row(0).to_vec(), [589_196.0, 6_151_987.0]);
    let p = &set.protocol;
    let test = p.split.starts(744, p.history, p.horizon).unwrap().test;
    assert_eq!(test.len(), 74);
    let z = standardised(s.clone());
    let mse = |f: &dyn Fn(usize, usize) -> Option<usize>| errors(&z, &test, 4, 1..=1, f).mse;
    assert!((mse(&last) - 1.635).abs() < 6e-4, "{}", mse(&last));
    assert!((mse(&|t, _| Some(t + 1 - 24)) - 1.728).abs() < 6e-4);
    assert!((mse(&|_, _| None) - 0.985).abs() < 6e-4);
}

#[test]
fn a_folder_of_tables_as_one_series() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let hours = |from: usize, to: usize| -> String {
        let row = |h: usize| {
            format!(
                "2024-03-{:02}T{:02}:00;{h};0;{}\n",
                1 + h / 24,
                h % 24,
                h * h
            )
        };
        (from..to).map(row).collect()
    };
    write("flow-1.csv", &format!("when;a;b;c\n{}", hours(0, 30)));
    write("flow-2.csv", &format!("when;a;b;c\n{}", hours(31, 60)));
    write(
        "places.csv",
        "name,lat,lon\nb,52.1,13.1\na,52.0,13.0\nc,52.5,13.5\n",
    );
    write("near.csv", "from,to,metres\na,b,100\nb,a,120\nb,c,4000\n");
    let toml = "files = \"flow-*.csv\"\npositions = \"places.csv\"\n[csv]\ntime = \"when\"\n\
                [graph]\ndistances = \"near.csv\"\n[clock]\ngaps = \"fill\"\n[forecast]\n\
                feature = \"flow\"\nnull_value = 0\nhistory = 6\nhorizon = 3\n";
    write("dataset.toml", toml);
    let read = || {
        load_series(&SeriesConfig {
            name: folder.path().display().to_string(),
            ..Default::default()
        })
    };
    let set = read().unwrap();
    let s = &set.series;
    assert_eq!((s.dim(), s.sources.len()), ((60, 3, 1), 5));
    assert_eq!(s.values()[[59, 2, 0]], 3481.0);
    assert_eq!((set.clock.missing(), s.is_observed(30, 0, 0)), (1, false));
    let Some(Positions::LatLon(p)) = &s.positions else {
        panic!()
    };
    assert_eq!(p.row(1).to_vec(), [52.1, 13.1]);
    let graph = s.graph.as_ref().unwrap().at(0).unwrap();
    assert_eq!(graph.n_edges(), 2);
    assert!(graph.weight(1, 0) > graph.weight(0, 1));
    let f = &s.summary().features[0];
    assert_eq!(f.silent, ["b"]);
    let parts = set.protocol.split.starts(60, 6, 3).unwrap();
    assert_eq!((parts.train.len(), parts.test.len()), (36, 10));
    // What is not accepted is refused: gaps, and horizons that do not fit.
    write("dataset.toml", &toml.replace("fill", "error"));
    let text = read().unwrap_err().to_string();
    assert!(
        text.contains("1 steps of 1 hour are left out after 2024-03-02 05:00:00"),
        "{text}"
    );
    write("dataset.toml", &toml.replace("horizon = 3", "horizon = 60"));
    let p = read().unwrap().protocol;
    let text = p
        .split
        .starts(60, p.history, p.horizon)
        .unwrap_err()
        .to_string();
    assert!(text.contains("more than the 60 there are"), "{text}");
    write("flow-2.csv", "when;a;c;b\n2024-03-09T00:00;1;2;3\n");
    assert!(
        read()
            .unwrap_err()
            .to_string()
            .contains("are not the sensors a, b, c")
    );
}

#[test]
fn it_is_known_which_series_have_a_clock() {
    for name in ["metr-la", "pems_bay", "largest-sd", "beijing-air", "./own"] {
        assert!(has_stamps(name), "{name}");
    }
    assert!(!has_stamps("los-loop") && !has_stamps("chickenpox"));
}

#[test]
fn a_pickled_graph_belongs_to_a_table_of_the_same_sensors() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traffic");
    let folder = tempfile::tempdir().unwrap();
    for name in ["metr-la.h5", "adj_mx.pkl"] {
        std::fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
    }
    let read = |clock| {
        let toml = "files = \"metr-la.h5\"\n[graph]\nadjacency = \"adj_mx.pkl\"\n[forecast]\n\
                    history = 2\nhorizon = 1\n";
        std::fs::write(folder.path().join("dataset.toml"), toml).unwrap();
        load_series(&SeriesConfig {
            name: folder.path().to_string_lossy().into_owned(),
            clock,
            ..Default::default()
        })
    };
    let own = read(Some(TimePolicy::mend())).unwrap().series;
    let published = load_series(&SeriesConfig {
        name: "metr-la".into(),
        data_dir: Some(folder.path().into()),
        ..Default::default()
    });
    assert_eq!(own.graph, published.unwrap().series.graph);
    assert!(own.graph.is_some());
}

#[test]
fn tables_in_parquet_arrow_and_hdf5_are_series() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    let read = |file: &str, csv: &str| {
        let name = file.rsplit('/').next().unwrap();
        std::fs::copy(fixtures.join(file), folder.path().join(name)).unwrap();
        let toml = format!("files = \"{name}\"\n{csv}[forecast]\nhistory = 2\nhorizon = 1\n");
        std::fs::write(folder.path().join("dataset.toml"), toml).unwrap();
        load_series(&SeriesConfig {
            name: folder.path().to_string_lossy().into_owned(),
            ..Default::default()
        })
    };
    for file in [
        "arrow/wide_zstd.parquet",
        "arrow/wide.feather",
        "arrow/wide.arrows",
    ] {
        let set = read(file, "[csv]\ntime = \"time\"\n").unwrap();
        assert_eq!(set.series.sensors, ["a", "b"]);
        assert_eq!(set.series.values()[[3, 0, 0]], 0.75);
        assert!(!set.series.is_observed(1, 1, 0));
        assert_eq!(set.clock.missing(), 0);
        assert!(set.series.time.is_some());
    }
    let set = read("hdf5/metr_la.h5", "").unwrap();
    assert_eq!(set.series.dim(), (20, 3, 1));
    assert!(!set.series.is_observed(3, 1, 0) && set.series.time.is_some());
    let error = read("arrow/wide.arrow", "[csv]\ntime = \"when\"\n").unwrap_err();
    assert!(error.to_string().contains("when"), "{error}");
}
