use std::path::Path;

use ndarray::{Array2, ArrayD, arr1, s};
use tgmamba_graph::formats::Array;
use tgmamba_graph::formats::clip::Clip;
use tgmamba_graph::formats::dreem::Night;
use tgmamba_graph::formats::hdf5::Hdf5;

use super::{damage, fixture, grid, grid_f32};

fn long() -> Array2<f64> {
    Array2::from_shape_fn((23, 5), |(i, j)| (5 * i + j) as f64 / 8.0)
}

fn strings(a: Array) -> Vec<String> {
    a.into_text(Path::new("a"), "a")
        .unwrap()
        .into_iter()
        .collect()
}

#[test]
fn every_type_of_every_superblock() {
    for file in ["hdf5/v0.h5", "hdf5/v3.h5"] {
        let h = Hdf5::open(fixture(file)).unwrap();
        for kind in "i1 i2 i4 i8 u1 u2 u4 u8".split(' ') {
            for order in ["", "big_"] {
                let a = h.read(&format!("types/{order}{kind}")).unwrap();
                assert_eq!(a, Array::I64(grid()), "{order}{kind}");
            }
        }
        for kind in ["f4", "big_f4", "half"] {
            let a = h.read(&format!("types/{kind}")).unwrap();
            assert_eq!(a, Array::F32(grid_f32()), "{kind}");
        }
        for kind in ["f8", "big_f8"] {
            let a = h.read(&format!("/types/{kind}")).unwrap();
            assert_eq!(a, Array::F64(grid().mapv(|v| v as f64)), "{kind}");
        }
        for kind in ["f8", "u2", "big_i4", "half"] {
            let name = format!("types/{kind}");
            assert_eq!(h.read_f32(&name, None).unwrap(), grid_f32(), "{kind}");
            let row = h.read_f32(&name, Some(1..2)).unwrap();
            assert_eq!(row, grid_f32().slice(s![1..2, ..]).into_dyn(), "{kind}");
        }
        let truth = grid().mapv(|v| v % 2);
        assert_eq!(h.read("types/bool").unwrap(), Array::I64(truth));
        assert_eq!(strings(h.read("types/fixed").unwrap()), ["Oz", "Fp1"]);
        let words = ["Oz", "Fp1", "\u{e9}", ""];
        assert_eq!(strings(h.read("types/variable").unwrap()), words);
        let two = h.read_rows("types/variable", 1..3).unwrap();
        assert_eq!(strings(two), words[1..3]);
        assert_eq!(strings(h.read("types/word").unwrap()), ["left"]);
        let scalar = ArrayD::from_elem(vec![], 7.5);
        assert_eq!(h.read("types/scalar").unwrap(), Array::F64(scalar));
        assert_eq!(h.read("types/empty").unwrap().shape(), [0, 3]);
        assert_eq!(h.read("types/null").unwrap().shape(), [0]);
        let a = h.read_field("types/pairs", "a", None).unwrap();
        assert_eq!(a, Array::I64(arr1(&[1, 2]).into_dyn()));
        let b = h.read_field("types/pairs", "b", Some(1..2)).unwrap();
        assert_eq!(b, Array::F64(arr1(&[3.5]).into_dyn()));
        let imaginary = h.read_field("types/complex", "i", None).unwrap();
        assert_eq!(imaginary, Array::F64(ArrayD::ones(vec![2, 3])));
        let paths = strings(h.read("references").unwrap());
        // The first path that leads to an object: `soft` is another name of types/f4.
        assert_eq!(paths, ["soft", "types"]);
    }
}

#[test]
fn every_layout_whole_and_in_rows() {
    let path = fixture("hdf5/v0.h5");
    let layouts = [
        "layout/chunked",
        "layout/gzip",
        "layout/checked",
        "layout/lzf",
        "layout/growing",
        "layout/rows",
    ];
    let mut all: Vec<(&str, String)> = Vec::new();
    for file in ["hdf5/v0.h5", "hdf5/v3.h5"] {
        all.extend(layouts.iter().map(|l| (file, l.to_string())));
    }
    all.extend(["hdf5/v1.h5", "hdf5/v2.h5"].map(|f| (f, "x".to_string())));
    for (file, name) in all {
        let h = Hdf5::open(fixture(file)).unwrap();
        let whole = h.read(&name).unwrap();
        assert_eq!(whole, Array::F64(long().into_dyn()), "{file} {name}");
        for rows in [0..1, 3..9, 22..23, 0..23, 5..5] {
            let part = h.read_rows(&name, rows.clone()).unwrap();
            let expected = long().slice(s![rows.clone(), ..]).to_owned().into_dyn();
            assert_eq!(part, Array::F64(expected.clone()), "{file} {name} {rows:?}");
            let part = h.read_f32(&name, Some(rows)).unwrap();
            assert_eq!(part, expected.mapv(|v| v as f32), "{file} {name}");
        }
        let backwards = std::ops::Range { start: 9, end: 3 };
        for rows in [0..24, 24..25, backwards] {
            let error = h.read_rows(&name, rows).unwrap_err().to_string();
            assert!(error.contains("rows") && error.contains("of 23"), "{error}");
        }
    }
    let h = Hdf5::open(path).unwrap();
    assert_eq!(h.read("layout/compact").unwrap(), Array::I64(grid()));
    let one = h.read_rows("layout/compact", 1..2).unwrap();
    assert_eq!(one.shape(), [1, 3]);
    let unwritten = h.read("layout/unwritten").unwrap();
    assert_eq!(unwritten, Array::F32(ArrayD::from_elem(vec![4, 3], 2.5)));
}

#[test]
fn what_is_in_a_file() {
    for file in ["hdf5/v0.h5", "hdf5/v3.h5"] {
        let h = Hdf5::open(fixture(file)).unwrap();
        assert_eq!(h.groups().unwrap(), ["layout", "types", "up"]);
        let all = h.datasets().unwrap();
        let info = all.iter().find(|d| d.name == "layout/gzip").unwrap();
        assert_eq!(
            (info.shape.as_slice(), info.kind.as_str()),
            (&[23, 5][..], "float64")
        );
        assert_eq!(info.chunks, Some(vec![4, 3]));
        let kind = |name: &str| all.iter().find(|d| d.name == name).unwrap().kind.clone();
        assert_eq!(kind("types/pairs"), "compound (a: int32, b: float64)");
        assert_eq!(kind("types/variable"), "text");
        assert_eq!(kind("types/bool"), "enumeration");
        assert!(h.contains("soft") && h.contains("hard") && h.contains("up/here/f4"));
        assert!(!h.contains("gone") && !h.contains("outside") && !h.contains("types"));
        let number = |key| h.number_attribute("types", key).unwrap();
        assert_eq!((number("fs"), number("scale")), (Some(250.0), Some(0.5)));
        assert_eq!(
            (number("none"), number("unit"), number("nothing")),
            (None, None, None)
        );
        let words = |key| h.text_attribute("types", key).unwrap();
        assert_eq!(words("unit").as_deref(), Some("\u{b5}V"));
        assert_eq!(words("bytes").as_deref(), Some("uV"));
        let names = h.attribute("types", "names").unwrap().unwrap();
        assert_eq!(strings(names), ["Oz", "Fp1"]);
        let table = h.attribute("types", "grid").unwrap().unwrap();
        assert_eq!(table, Array::I64(grid()));
        assert_eq!(
            h.text_attribute("", "title").unwrap().as_deref(),
            Some("root")
        );
        let rate = h.number_attribute("layout/gzip", "fs").unwrap();
        assert_eq!(rate, Some(100.0));
        assert_eq!(h.attribute_names("types").unwrap().len(), 7);
    }
    let h = Hdf5::open(fixture("hdf5/v2.h5")).unwrap();
    assert_eq!(h.attribute_names("").unwrap().len(), 40);
    assert_eq!(h.members("many").unwrap().1.len(), 40);
    assert_eq!(h.number_attribute("", "a39").unwrap(), Some(39.0));
}

#[test]
fn mistakes_are_named() {
    let h = Hdf5::open(fixture("hdf5/v0.h5")).unwrap();
    for (name, part) in [
        ("type/f4", "present: hard, references, soft"),
        ("types", "no such object"),
        ("gone", "no such object"),
        (
            "types/complex",
            "compound (r: float64, i: float64), which is not read",
        ),
    ] {
        let error = h.read(name).unwrap_err().to_string();
        assert!(error.contains("v0.h5") && error.contains(part), "{error}");
    }
    let error = h
        .read_field("types/pairs", "c", None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no field \"c\""), "{error}");
    assert!(h.read_rows("types/scalar", 0..1).is_err());
    assert!(h.attribute("nothing", "a").is_err());
    let h = Hdf5::open(fixture("hdf5/bzip2.h5")).unwrap();
    let error = h.read("df/block0_values").unwrap_err().to_string();
    assert!(error.contains("packed with bzip2 (filter 307)"), "{error}");
    let error = Hdf5::open(fixture("scipy.mat")).err().unwrap().to_string();
    assert!(error.contains("give an HDF5 file"), "{error}");
    assert!(Hdf5::open(fixture("none.h5")).is_err());
}

#[test]
fn blosc_with_every_codec() {
    let plain = Hdf5::open(fixture("hdf5/zlib.h5")).unwrap();
    let values = plain.read("df/block0_values").unwrap();
    assert_eq!(values.shape(), [5000, 3]);
    let path = Path::new("a");
    let flat = values.clone().into_f64(path, "a").unwrap();
    assert!(
        flat.iter()
            .enumerate()
            .all(|(i, v)| *v == (i as f64 / 4.0) % 40.0)
    );
    for codec in ["blosclz", "lz4", "zlib", "zstd"] {
        if codec == "zstd" && !cfg!(feature = "zstd") {
            continue;
        }
        let h = Hdf5::open(fixture(&format!("hdf5/blosc_{codec}.h5"))).unwrap();
        for name in ["df/block0_values", "df/axis1", "df/axis0"] {
            assert_eq!(h.read(name).unwrap(), plain.read(name).unwrap(), "{codec}");
        }
    }
    let h = Hdf5::open(fixture("hdf5/bitshuffle.h5")).unwrap();
    assert_eq!(h.read("x").unwrap(), values);
    let noise = h.read("noise").unwrap().into_i64(path, "noise").unwrap();
    // Sum and last value as NumPy gives them.
    assert_eq!((noise.sum(), noise[[3000]]), (NOISE_SUM, NOISE_LAST));
}

const NOISE_SUM: i64 = 391_048;
const NOISE_LAST: i64 = 55;

#[test]
fn a_night_of_dreem() {
    let night = Night::open(fixture("hdf5/dreem.h5")).unwrap();
    let names: Vec<&str> = night.channels.iter().map(|c| c.name.as_str()).collect();
    let all = [
        "eeg/C3_M2",
        "eeg/F3_F4",
        "eeg/FP1_O1",
        "emg/ECG",
        "emg/EMG",
        "eog/EOG1",
        "eog/EOG2",
    ];
    assert_eq!(names, all);
    assert_eq!(night.hypnogram, Some(vec![-1, 0, 4]));
    let channel = night.channel("F3_F4").unwrap();
    assert_eq!((channel.rate, channel.samples), (4.0, 362));
    assert_eq!(channel.unit, "\u{b5}V");
    let signal = night.read("eeg/FP1_O1").unwrap();
    assert_eq!(
        (signal.len(), signal[0], signal[361]),
        (362, 2000.0, 2361.0)
    );
    let error = night.read("eeg/Cz").unwrap_err().to_string();
    assert!(error.contains("present: eeg/C3_M2"), "{error}");
    assert!(Night::open(fixture("hdf5/clip.h5")).is_err());
}

#[test]
fn a_clip_of_the_seizure_corpus() {
    let clip = Clip::open(fixture("hdf5/clip.h5")).unwrap();
    assert_eq!((clip.rate, clip.signal.dim()), (200.0, (19, 20)));
    assert_eq!((clip.signal[[0, 1]], clip.signal[[18, 19]]), (0.5, 189.5));
    let error = Clip::open(fixture("hdf5/dreem.h5"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("resample_freq"), "{error}");
}

#[test]
fn damaged_files_are_errors() {
    let path = Path::new("a.h5");
    let all_read = |bytes: &[u8]| {
        let Ok(h) = Hdf5::parse(bytes, path) else {
            return false;
        };
        let Ok(all) = h.datasets() else {
            return false;
        };
        let mut good = !all.is_empty();
        for d in &all {
            good &= h.read(&d.name).is_ok() || d.kind.starts_with("compound");
            let _ = h.read_f32(&d.name, Some(0..1));
            for a in h.attribute_names(&d.name).unwrap_or_default() {
                let _ = h.attribute(&d.name, &a);
            }
        }
        good
    };
    for name in [
        "v0",
        "v1",
        "v2",
        "v3",
        "blosc_blosclz",
        "bitshuffle",
        "clip",
        "table",
    ] {
        damage(&format!("hdf5/{name}.h5"), 150, all_read);
    }
    damage("hdf5/dreem.h5", 100, |b| {
        Night::parse(b, path).is_ok_and(|n| n.read("ECG").is_ok())
    });
    damage("hdf5/clip.h5", 300, |b| Clip::parse(b, path).is_ok());
}
