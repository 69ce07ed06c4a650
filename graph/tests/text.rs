//! Text formats against what pandas, SciPy and networkx read from the same files; see
//! `fixtures/make_text.py`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tgmamba_graph::formats::arff::{self, Column};
use tgmamba_graph::formats::csv::{CsvConfig, TimeColumns, read_table};
use tgmamba_graph::formats::{graphml, ts};
use tgmamba_graph::series::Positions;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/text")
        .join(name)
}

fn expected(key: &str) -> Value {
    let text = std::fs::read_to_string(file("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[key].clone()
}

/// Rows of numbers, NaN where null.
fn rows(value: &Value) -> Vec<Vec<f64>> {
    let rows = value.as_array().unwrap().iter();
    rows.map(|r| {
        let cells = r.as_array().unwrap().iter();
        cells.map(|c| c.as_f64().unwrap_or(f64::NAN)).collect()
    })
    .collect()
}

/// Whether two numbers are the same, NaN included.
fn same(a: f32, b: f64) -> bool {
    a == b as f32 || (a.is_nan() && b.is_nan())
}

#[test]
fn a_mixed_table_as_pandas_reads_it() {
    let config = CsvConfig {
        time: Some(TimeColumns::Stamp("when".into())),
        text: vec!["word".into()],
        ..Default::default()
    };
    let table = read_table(file("mixed.csv"), &config).unwrap();
    assert_eq!(table.columns, ["a", "b c", "d \"e\"", "f,g", "h"]);
    let want = rows(&expected("mixed"));
    assert_eq!(table.values.dim(), (want.len(), 5));
    let mut missing = 0;
    for (got, want) in table.values.outer_iter().zip(&want) {
        for (g, w) in got.iter().zip(want) {
            assert!(same(*g, *w), "{g} {w}");
            missing += usize::from(g.is_nan());
        }
    }
    assert_eq!(missing, 5);
    let stamps: Vec<i64> = serde_json::from_value(expected("mixed_stamps")).unwrap();
    assert_eq!(table.stamps.unwrap(), stamps);
    let words: Vec<String> = serde_json::from_value(expected("mixed_words")).unwrap();
    assert!(table.text[0].iter().eq(words.iter().map(String::as_str)));
}

#[test]
fn arff_as_scipy_reads_it() {
    let small = arff::read(file("small.arff")).unwrap();
    let (names, values) = small.numbers();
    assert_eq!(names, ["width", "height"]);
    for (got, want) in values.outer_iter().zip(rows(&expected("small"))) {
        assert!(got.iter().zip(&want).all(|(g, w)| same(*g, *w)), "{got}");
    }
    let colours: Vec<String> = serde_json::from_value(expected("small_colours")).unwrap();
    let Column::Nominal(codes) = &small.columns[1] else {
        panic!()
    };
    let words = ["red", "dark blue"];
    let read: Vec<&str> = codes.iter().map(|c| c.map_or("?", |c| words[c])).collect();
    assert_eq!(read, colours);
    let path = file("relational.arff");
    let series = arff::read(&path).unwrap().into_ts(&path).unwrap();
    assert_eq!(series.x.dim(), (3, 2, 4));
    for (sample, want) in series
        .x
        .outer_iter()
        .zip(expected("relational").as_array().unwrap())
    {
        for (got, want) in sample.outer_iter().zip(rows(want)) {
            assert!(got.iter().zip(&want).all(|(g, w)| same(*g, *w)), "{got}");
        }
    }
    let classes: Vec<String> = serde_json::from_value(expected("relational_classes")).unwrap();
    let read: Vec<&str> = series
        .y
        .iter()
        .map(|c| series.classes[*c].as_str())
        .collect();
    assert_eq!(read, classes);
}

/// The same samples as `.ts` and as ARFF of the archive.
#[test]
fn ts_and_arff_agree() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/basic-motions/BasicMotions_TRAIN.ts");
    let ts = ts::read(&path).unwrap();
    let (_, dimensions, time) = ts.x.dim();
    let mut text = String::from("@relation BasicMotions\n@attribute bag relational\n");
    for t in 0..time {
        text.push_str(&format!("@attribute att{t} numeric\n"));
    }
    text.push_str(&format!(
        "@end bag\n@attribute activity {{{}}}\n@data\n",
        ts.classes.join(",")
    ));
    for (sample, y) in ts.x.outer_iter().zip(&ts.y) {
        let rows: Vec<String> = (0..dimensions)
            .map(|d| {
                let values: Vec<String> = sample.row(d).iter().map(|v| v.to_string()).collect();
                values.join(",")
            })
            .collect();
        text.push_str(&format!("\"{}\",{}\n", rows.join("\\n"), ts.classes[*y]));
    }
    let path = Path::new("BasicMotions_TRAIN.arff");
    let arff = arff::parse(text.as_bytes(), path)
        .unwrap()
        .into_ts(path)
        .unwrap();
    assert_eq!((arff.x, arff.y, arff.classes), (ts.x, ts.y, ts.classes));
}

#[test]
fn graphml_as_networkx_writes_and_reads_it() {
    for name in ["directed", "undirected"] {
        let path = file(&format!("{name}.graphml"));
        let graph = graphml::read(&path).unwrap();
        assert_eq!(graph.ids, ["n0", "n1", "n2", "n3", "n4", "n5"]);
        assert_eq!(graph.nodes[3]["road"], "I-3 <&> north");
        let csr = graph.to_csr("weight", &path).unwrap();
        let want = rows(&expected(name));
        for (target, row) in want.iter().enumerate() {
            for (source, w) in row.iter().enumerate() {
                assert!(
                    same(csr.weight(target, source), *w),
                    "{name} {source} {target}"
                );
            }
        }
        let Some(Positions::LatLon(places)) = graph.positions() else {
            panic!()
        };
        for (got, want) in places
            .outer_iter()
            .zip(rows(&expected(&format!("{name}_places"))))
        {
            assert_eq!(got.to_vec(), want);
        }
    }
}
