use std::path::Path;

use tgmamba_graph::formats::Panel;
use tgmamba_graph::formats::panel::{Long, Wide};
use tgmamba_graph::table;

use super::{damage, fixture, text};

const START: i64 = 1_330_560_000;

fn wide() -> Wide {
    Wide {
        time: Some("time".into()),
        feature: "speed".into(),
        ..Wide::default()
    }
}

#[test]
fn wide_tables_of_pyarrow() {
    let mut files: Vec<String> = ["arrow", "arrows"]
        .iter()
        .flat_map(|e| ["", "_lz4", "_zstd"].map(|c| format!("wide{c}.{e}")))
        .collect();
    files.extend(["one.arrow", "wide.feather"].map(String::from));
    let codecs = ["none", "snappy", "gzip", "lz4", "zstd"];
    files.extend(codecs.map(|c| format!("wide_{c}.parquet")));
    for file in files {
        if file.contains("zstd") && !cfg!(feature = "zstd") {
            continue;
        }
        let path = fixture(&format!("arrow/{file}"));
        let table = table::read(&path).unwrap_or_else(|e| panic!("{e}"));
        let panel = Panel::wide(&table, &path, &wide()).unwrap();
        assert_eq!(panel.sensors, ["a", "b"], "{file}");
        assert_eq!(panel.features, ["speed"]);
        assert_eq!(panel.values.dim(), (40, 2, 1));
        let stamps: Vec<i64> = (0..40).map(|i| START + 300 * i).collect();
        assert_eq!(panel.stamps, Some(stamps), "{file}");
        for i in 0..40 {
            assert_eq!(panel.values[[i, 0, 0]], i as f32 / 4.0, "{file}");
            let b = panel.values[[i, 1, 0]];
            assert!(if i == 1 { b.is_nan() } else { b == i as f32 }, "{file}");
        }
    }
    let error = table::read(fixture("arrow/wide_brotli.parquet"))
        .unwrap_err()
        .to_string();
    assert!(error.to_lowercase().contains("brotli"), "{error}");
}

#[test]
fn long_tables_of_pyarrow() {
    let config = Long {
        time: "date".into(),
        node: "node".into(),
        values: text(&["cases", "rate"]),
    };
    for file in ["long.arrow", "long.arrows", "long.parquet"] {
        let path = fixture(&format!("arrow/{file}"));
        let panel = Panel::long(&table::read(&path).unwrap(), &path, &config).unwrap();
        assert_eq!(panel.sensors, ["x", "y"], "{file}");
        let day = 1_577_836_800;
        assert_eq!(
            panel.stamps,
            Some(vec![day, day + 86_400, day + 2 * 86_400])
        );
        assert_eq!(panel.values.dim(), (3, 2, 2));
        for (i, v) in panel.values.lanes(ndarray::Axis(2)).into_iter().enumerate() {
            assert_eq!(v.to_vec(), [i as f32, i as f32 / 2.0], "{file}");
        }
    }
}

#[test]
fn columns_of_every_type() {
    for file in ["types.arrow", "types.parquet"] {
        let path = fixture(&format!("arrow/{file}"));
        let t = table::read(&path).unwrap();
        assert_eq!((t.num_rows(), t.num_columns()), (3, 15), "{file}");
        for kind in [
            "int8", "int16", "int64", "uint8", "uint32", "uint64", "float",
        ] {
            let v = table::f64_column(&t, kind).unwrap();
            assert_eq!(v[..2], [0.0, 1.0], "{kind}");
            assert!(v[2].is_nan(), "{kind}");
        }
        for kind in ["text", "large", "view"] {
            let v = table::text_column(&t, kind).unwrap();
            assert_eq!((v[0].as_str(), v[2].as_str()), ("a", ""), "{kind}");
        }
        let config = Wide {
            skip: text(&["text", "large", "view", "seconds", "list", "pair"]),
            ..Wide::default()
        };
        let panel = Panel::wide(&t, &path, &config).unwrap();
        assert_eq!(panel.sensors.len(), 9);
        assert!(
            panel
                .values
                .index_axis(ndarray::Axis(0), 2)
                .iter()
                .all(|v| v.is_nan())
        );
        let error = Panel::wide(&t, &path, &Wide::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("no numbers"), "{error}");
        let error = Panel::wide(&t, &path, &wide()).unwrap_err().to_string();
        assert!(
            error.contains("\"time\": is not there; present:"),
            "{error}"
        );
    }
}

#[test]
fn damaged_tables_are_errors() {
    let path = Path::new("a");
    for file in [
        "wide.arrow",
        "wide_lz4.arrow",
        "wide_zstd.arrows",
        "types.arrow",
        "long.arrows",
    ] {
        if file.contains("zstd") && !cfg!(feature = "zstd") {
            continue;
        }
        damage(&format!("arrow/{file}"), 600, |b| {
            // A stream cut between two messages is a stream of fewer rows.
            let rows = table::parse_ipc(b, path).map(|t| t.num_rows());
            rows.is_ok_and(|n| n == 40 || n == 3 || n == 6)
        });
    }
    let files = [
        "wide_none",
        "wide_snappy",
        "wide_gzip",
        "wide_lz4",
        "types",
        "long",
    ];
    for file in files {
        damage(&format!("arrow/{file}.parquet"), 600, |b| {
            table::parse_parquet(b, path).is_ok()
        });
    }
}
