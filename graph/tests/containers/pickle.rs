use std::path::Path;

use ndarray::{Array2, arr1, arr2};
use tgmamba_graph::formats::Array;
use tgmamba_graph::formats::pickle::{Pickle, Value, read_adjacency};

use super::{damage, fixture, grid, grid_f32, text};

fn matrix() -> Array2<f32> {
    arr2(&[[1.0, 0.5, 0.0], [0.25, 1.0, 0.0], [0.0, 0.125, 1.0]])
}

#[test]
fn dcrnn_graphs_of_every_protocol() {
    let mut files: Vec<String> = (0..6).map(|p| format!("adj_{p}")).collect();
    files.extend((0..3).map(|p| format!("adj_python2_{p}")));
    for file in files {
        let graph = read_adjacency(fixture(&format!("pickle/{file}.pkl"))).unwrap();
        assert_eq!(graph.sensors, ["773869", "767541", "767542"], "{file}");
        assert_eq!(graph.weights, matrix(), "{file}");
    }
    for file in ["csr", "matrix"] {
        let graph = read_adjacency(fixture(&format!("pickle/{file}.pkl"))).unwrap();
        assert_eq!(
            (graph.sensors, graph.weights),
            (text(&["0", "1", "2"]), matrix())
        );
    }
}

#[test]
fn values_of_every_protocol() {
    for protocol in 0..6 {
        let pickle = Pickle::open(fixture(&format!("pickle/values_{protocol}.pkl"))).unwrap();
        let root = pickle.root();
        let get = |key: &str| root.get(key).unwrap_or_else(|| panic!("{key} {protocol}"));
        let array = |key: &str| get(key).array(key).unwrap();
        assert_eq!(get("none").kind(), "None");
        assert_eq!(
            (get("truth").int(), get("small").int()),
            (Some(1), Some(-3))
        );
        assert_eq!(get("large").int(), Some(1 << 62));
        assert_eq!(get("real").float(), Some(1.5));
        let words = "\u{e9}\u{20ac}\u{1f600}";
        assert_eq!(get("text").text().as_deref(), Some(words));
        assert_eq!(get("bytes").text().as_deref(), Some("\u{ff}\0a"));
        assert_eq!(array("tuple"), Array::I64(arr1(&[1, 2, 3, 4]).into_dyn()));
        assert_eq!(get("set").items().unwrap()[0].int(), Some(7));
        assert_eq!(get("ordered").get("a").and_then(|v| v.int()), Some(1));
        assert_eq!(get("default").get("b").and_then(|v| v.int()), Some(2));
        let quarters = Array::F64(grid().mapv(|v| v as f64 / 4.0));
        assert_eq!(array("f8"), quarters);
        for key in ["fortran", "big"] {
            assert_eq!(array(key), Array::I64(grid()), "{key} {protocol}");
        }
        assert_eq!(array("bool"), Array::I64(grid().mapv(|v| v % 2)));
        let names = Array::Text(arr1(&text(&["Oz", "Fp1", "\u{e9}"])).into_dyn());
        assert_eq!(array("names"), names);
        let objects = Array::Text(arr1(&text(&["a", "b"])).into_dyn());
        assert_eq!(array("objects"), objects);
        assert_eq!(get("scalar").float(), Some(2.5));
        assert_eq!(array("half"), Array::F32(grid_f32()));
        assert_eq!(array("empty").shape(), [0, 3]);
        let twice = get("twice").items().unwrap();
        assert!(twice.iter().all(|v| v.items().unwrap()[0].int() == Some(1)));
        // A list that holds itself is a list of one at any depth.
        let mut circle: Value<'_> = get("circle");
        for _ in 0..10 {
            circle = circle.items().unwrap()[0];
        }
        assert_eq!(circle.kind(), "list of 1");
        for key in ["csr", "csc", "coo"] {
            assert_eq!(get(key).matrix(key).unwrap(), matrix(), "{key} {protocol}");
            let sparse = get(key).sparse(key).unwrap().unwrap();
            assert_eq!((sparse.shape, sparse.entries.len()), ((3, 3), 6));
        }
        assert!(get("f8").sparse("f8").unwrap().is_none());
        let error = get("text").array("text").unwrap_err().to_string();
        assert!(error.contains("holds str"), "{error}");
    }
}

#[test]
fn nothing_is_ever_called() {
    for (file, name) in [
        ("system", "system"),
        ("frozen", "system"),
        ("partial", "functools.partial"),
    ] {
        for protocol in [0, 2, 4] {
            let path = fixture(&format!("pickle/refused_{file}_{protocol}.pkl"));
            let error = Pickle::open(&path).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("nothing was run"),
                "{error}"
            );
            assert!(error.contains("byte "), "{error}");
            let bytes = std::fs::read(&path).unwrap();
            let partly = Pickle::parse_partly(&bytes, &path).unwrap();
            let mut value = partly.root();
            while let Some(items) = value.items() {
                value = *items.last().unwrap();
            }
            assert_eq!(value.kind(), "a value of another kind");
        }
    }
    assert!(!Path::new("harm.txt").exists());
}

#[test]
fn hand_made_programs() {
    let run = |bytes: &[u8]| Pickle::parse(bytes, Path::new("a.pkl")).map(|p| p.root().kind());
    assert_eq!(run(b"I1\n.").unwrap(), "int");
    assert_eq!(run(b"(lp0\nI1\na.").unwrap(), "list of 1");
    for (bytes, part) in [
        (&b""[..], "ends in the middle"),
        (b".", "empty stack"),
        (b"\x80\x06N.", "protocol 6"),
        (b"(.", "empty stack"),
        (b"(I1\n0.", "empty stack"),
        (b"e.", "no mark"),
        (b"Na.", "empty stack"),
        (b"NNa.", "no list"),
        (b"NNs.", "empty stack"),
        (b"NNNs.", "no dictionary"),
        (b"(Nd.", "key without a value"),
        (b"h\x07.", "value 7"),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01.", "64 bits"),
        (b"I99999999999999999999\n.", "broken"),
        (
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
            "ends in the middle",
        ),
        (b"X\xff\xff\xff\x7fa.", "ends in the middle"),
        (b"cos\nsystem\n.", "os.system"),
        (b"(ios\nsystem\n.", "an instance of os.system"),
        (b"Pid\n.", "outside the file"),
        (b"\x82\x01.", "extension"),
        (b"\xfe.", "opcode 0xfe"),
        (b"cnumpy\nndarray\n)R.", "calls numpy.ndarray"),
        (b"NN\x85R.", "calls what is no function"),
    ] {
        let error = run(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?}: {error}");
    }
}

/// A few opcodes that would make far more of a value than the file holds.
#[test]
fn the_same_bytes_are_not_copied_over_and_over() {
    // 60,000 bytes of an array, then as many arrays of them.
    let mut bytes = b"\x80\x03C\x01b0B".to_vec();
    bytes.extend(60_000u32.to_le_bytes());
    bytes.extend(vec![7; 60_000]);
    bytes.extend(b"q\x000");
    bytes.extend(b"cnumpy\ndtype\nX\x02\0\0\0u1\x85Rq\x010");
    for _ in 0..5000 {
        bytes.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R");
        bytes.extend(b"(K\x01M\x60\xea\x85h\x01\x89h\0tb0");
    }
    bytes.extend(b"N.");
    let error = Pickle::parse(&bytes, Path::new("a.pkl"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("over and over"), "{error}");
}

#[test]
fn parts_of_a_graph_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pkl");
    let whole = std::fs::read(fixture("pickle/adj_0.pkl")).unwrap();
    // Bytes above 127 are raw in protocol 0: one character for each.
    let whole: String = whole.into_iter().map(char::from).collect();
    for (from, to, part) in [
        ("sg3\n", "sg2\n", "puts the sensor"),
        ("I2\ns", "I1\ns", "puts the sensor"),
        ("I3\nI3\n", "I1\nI9\n", "1 rows and 9 columns"),
    ] {
        assert!(whole.contains(from), "{from}");
        let changed = whole.replacen(from, to, 1);
        let changed: Vec<u8> = changed.chars().map(|c| c as u8).collect();
        std::fs::write(&path, changed).unwrap();
        let error = read_adjacency(&path).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    std::fs::write(&path, b"(lp0\nI1\na.").unwrap();
    assert!(read_adjacency(&path).is_err());
}

#[test]
fn damaged_pickles_are_errors() {
    let path = Path::new("a.pkl");
    let all = |bytes: &[u8]| {
        let Ok(pickle) = Pickle::parse(bytes, path) else {
            return false;
        };
        let Some(entries) = pickle.root().entries() else {
            return false;
        };
        for (key, value) in &entries {
            let _ = (
                key.text(),
                value.kind(),
                value.array("a"),
                value.matrix("a"),
            );
            let _ = value.sparse("a");
        }
        entries.len() == 25
    };
    for protocol in [0, 1, 2, 4, 5] {
        damage(&format!("pickle/values_{protocol}.pkl"), 1000, all);
    }
    for file in ["adj_0", "adj_2", "adj_5", "adj_python2_1", "csr"] {
        damage(&format!("pickle/{file}.pkl"), 1000, |bytes| {
            Pickle::parse(bytes, path)
                .is_ok_and(|p| tgmamba_graph::formats::pickle::adjacency(&p).is_ok())
        });
    }
}
