use std::path::Path;

use ndarray::{Array2, s};
use tgmamba_graph::formats::pandas::{Index, Store};

use super::{damage, fixture};

const START: i64 = 1_330_560_000;

/// Values as `make_hdf5.py` counts them.
fn values(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| (columns * i + j) as f32 / 4.0)
}

#[test]
fn metr_la_and_pems_bay() {
    let store = Store::open(fixture("hdf5/metr_la.h5")).unwrap();
    assert_eq!(store.keys().unwrap(), ["df"]);
    let frame = store.frame(None).unwrap();
    assert_eq!(frame.columns, ["773869", "767541", "767542"]);
    let stamps = frame.index.stamps().unwrap();
    assert_eq!(
        (stamps.len(), stamps[0], stamps[19]),
        (20, START, START + 19 * 300)
    );
    let read = frame.read().unwrap();
    assert!(read[[3, 1]].is_nan());
    let mut expected = values(20, 3);
    assert_eq!(read.slice(s![..3, ..]), expected.slice(s![..3, ..]));
    assert_eq!(read.slice(s![4.., ..]), expected.slice(s![4.., ..]));
    let rows = frame.read_rows(5..7).unwrap();
    assert_eq!(rows, expected.slice(s![5..7, ..]));
    assert!(frame.read_rows(19..21).is_err());
    let panel = frame.panel("speed").unwrap();
    assert_eq!(panel.values.dim(), (20, 3, 1));
    assert_eq!(panel.features, ["speed"]);

    let store = Store::open(fixture("hdf5/pems_bay.h5")).unwrap();
    let frame = store.frame(Some("/speed")).unwrap();
    assert_eq!(frame.columns, ["400001", "400017", "400030"]);
    expected = frame.read().unwrap();
    assert_eq!(expected, values(20, 3));
    let error = store.frame(Some("df")).err().unwrap().to_string();
    assert!(error.contains("present: speed"), "{error}");
}

#[test]
fn the_table_format() {
    let store = Store::open(fixture("hdf5/table.h5")).unwrap();
    let frame = store.frame(None).unwrap();
    assert_eq!(frame.columns, ["773869", "767541", "767542"]);
    assert_eq!(frame.read().unwrap(), values(20, 3));
    assert_eq!(
        frame.read_rows(18..20).unwrap(),
        values(20, 3).slice(s![18.., ..])
    );
    let Index::Time { nanoseconds, zone } = &frame.index else {
        panic!("{:?}", frame.index);
    };
    assert_eq!(zone.as_deref(), Some("America/Los_Angeles"));
    // Midnight in Los Angeles is eight o'clock in UTC.
    assert_eq!(nanoseconds[0], (START + 8 * 3600) * 1_000_000_000);
}

#[test]
fn columns_of_several_types_in_their_order() {
    for (file, key) in [("mixed_fixed", "a/b"), ("mixed_table", "t")] {
        let store = Store::open(fixture(&format!("hdf5/{file}.h5"))).unwrap();
        let frame = store.frame(Some(key)).unwrap();
        assert_eq!(
            frame.columns,
            ["count", "767541", "\u{e9}", "773869", "767542"]
        );
        assert_eq!(frame.index.stamps().unwrap()[1], START + 300);
        let read = frame.read().unwrap();
        assert_eq!(read.dim(), (20, 5));
        for (i, row) in read.outer_iter().enumerate() {
            let v = 3.0 * i as f32 / 4.0;
            let truth = f32::from(u8::from(i > 9));
            assert_eq!(
                row.to_vec(),
                [i as f32, v + 0.25, truth, v, v + 0.5],
                "{file}"
            );
        }
    }
}

#[test]
fn packed_tables() {
    for codec in ["zlib", "blosc_blosclz", "blosc_lz4"] {
        let store = Store::open(fixture(&format!("hdf5/{codec}.h5"))).unwrap();
        let frame = store.frame(None).unwrap();
        let expected = values(5000, 3).mapv(|v| v % 40.0);
        assert_eq!(frame.read().unwrap(), expected, "{codec}");
        let rows = frame.read_rows(4000..4002).unwrap();
        assert_eq!(rows, expected.slice(s![4000..4002, ..]), "{codec}");
    }
}

#[test]
fn other_tables() {
    let store = Store::open(fixture("hdf5/others.h5")).unwrap();
    assert_eq!(store.keys().unwrap().len(), 8);
    let error = store.frame(None).err().unwrap().to_string();
    assert!(error.contains("empty") && error.contains("zone"), "{error}");
    let frame = |key| store.frame(Some(key)).unwrap();
    let series = frame("series");
    assert_eq!(series.columns, ["a"]);
    assert_eq!(series.read().unwrap(), values(4, 1));
    let plain = frame("plain");
    assert_eq!(plain.index, Index::Numbers(vec![0, 1]));
    assert_eq!(plain.read().unwrap(), values(2, 3).mapv(|v| 4.0 * v));
    let empty = frame("empty");
    assert_eq!((empty.rows(), empty.read().unwrap().dim()), (0, (0, 3)));
    assert_eq!(
        frame("seconds").index.stamps().unwrap(),
        [START, START + 1, START + 2]
    );
    let names = ["a", "b", "\u{e9}"].map(String::from).to_vec();
    assert_eq!(frame("named").index, Index::Text(names));
    let Index::Time { zone, .. } = frame("zone").index else {
        panic!();
    };
    assert_eq!(zone.as_deref(), Some("America/Los_Angeles"));
    let error = store.frame(Some("levels")).err().unwrap().to_string();
    assert!(error.contains("several levels"), "{error}");
    assert!(frame("objects").read().is_err());
}

#[test]
fn damaged_tables_are_errors() {
    let path = Path::new("a.h5");
    let read = |bytes: &[u8]| {
        Store::parse(bytes, path).is_ok_and(|s| s.frame(None).is_ok_and(|f| f.read().is_ok()))
    };
    for name in ["metr_la", "mixed_fixed", "mixed_table", "table"] {
        damage(&format!("hdf5/{name}.h5"), 300, read);
    }
}
