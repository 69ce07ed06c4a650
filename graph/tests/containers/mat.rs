use std::path::Path;

use ndarray::{ArrayD, arr2};
use tgmamba_graph::formats::Array;
use tgmamba_graph::formats::mat::Mat;

use super::{damage, fixture, grid, grid_f32, text};

const FILES: [&str; 3] = ["mat/v5.mat", "mat/v5_compressed.mat", "mat/v73.mat"];

fn words(a: Array) -> Vec<String> {
    a.into_text(Path::new("a"), "a")
        .unwrap()
        .into_iter()
        .collect()
}

#[test]
fn both_versions_read_alike() {
    for file in FILES {
        let mat = Mat::open(fixture(file)).unwrap();
        let read = |name: &str| mat.read(name).unwrap_or_else(|e| panic!("{e}"));
        let cube = ArrayD::from_shape_fn(vec![2, 3, 4], |i| {
            (12 * i[0] + 4 * i[1] + i[2]) as f64 / 8.0
        });
        assert_eq!(read("double"), Array::F64(cube), "{file}");
        assert_eq!(read("single"), Array::F32(grid_f32()));
        assert_eq!(read("bytes"), Array::I64(grid()));
        assert_eq!(read("long"), Array::I64(grid().mapv(|v| v - (1 << 40))));
        assert_eq!(read("logical"), Array::I64(grid().mapv(|v| v % 2)));
        assert_eq!(read("scalar"), Array::F64(arr2(&[[7.5]]).into_dyn()));
        assert_eq!(read("empty").shape(), [0, 3]);
        assert_eq!(words(read("text")), ["left \u{e9}"]);
        assert_eq!(read("clab").shape(), [1, 3]);
        assert_eq!(words(read("clab")), ["Oz", "Fp1", "\u{e9}"]);
        assert_eq!(words(read("clab{2}")), ["Fp1"]);
        // The cells DIN1 and DIN2 lie side by side, the numbers below them.
        assert_eq!(words(read("mixed{1,2}")), ["DIN2"]);
        assert_eq!(read("mixed{2}"), Array::F64(arr2(&[[1.5]]).into_dyn()));
        let numbers = grid().mapv(|v| v as f64);
        assert_eq!(read("mixed{2,2}"), Array::F64(numbers.clone()));
        assert_eq!(read("EEG.data"), Array::F32(grid_f32()));
        assert_eq!(words(read("EEG.name")), ["night"]);
        let inner = Array::F64(arr2(&[[1.0, 2.0]]).into_dyn());
        assert_eq!(read("EEG.inner.a"), inner);
        assert_eq!(read("EEG(1).inner(1,1).a"), inner);
        assert_eq!(read("trial(2).X"), Array::F64(&numbers * 2.0));
        assert_eq!(words(read("trial(1,2).y")), ["class 1"]);
    }
}

#[test]
fn classes_shapes_and_fields() {
    for file in FILES {
        let mat = Mat::open(fixture(file)).unwrap();
        let info = |name: &str| {
            let i = mat.info(name).unwrap();
            (i.class, i.shape)
        };
        assert_eq!(info("double"), ("double".into(), vec![2, 3, 4]), "{file}");
        assert_eq!(info("logical"), ("logical".into(), vec![2, 3]));
        assert_eq!(info("long"), ("int64".into(), vec![2, 3]));
        assert_eq!(info("text"), ("char".into(), vec![1, 6]));
        assert_eq!(info("empty"), ("double".into(), vec![0, 3]));
        assert_eq!(info("mixed"), ("cell".into(), vec![2, 2]));
        assert_eq!(info("trial"), ("struct".into(), vec![1, 2]));
        assert_eq!(info("complex").0, "complex double");
        assert!(info("sparse").0.contains("sparse"));
        let mut fields = mat.info("EEG").unwrap().fields;
        fields.sort();
        assert_eq!(fields, text(&["data", "inner", "name", "srate"]));
        let mut names = mat.names();
        names.sort();
        assert_eq!(names.len(), 14);
        assert_eq!(names[..3], text(&["EEG", "bytes", "clab"]));
        assert!(mat.contains("EEG.data") && !mat.contains("EEG.x"));
    }
}

#[test]
fn what_is_refused_says_so() {
    for file in FILES {
        let mat = Mat::open(fixture(file)).unwrap();
        for (name, part) in [
            ("complex", "which is not read"),
            ("sparse", "which is not read"),
            ("mixed", "other things than text, which is not read"),
            ("EEG", "a struct with the fields"),
            ("EEG.x", "there is no field \"x\""),
            ("EEG{1}", "there is no element"),
            ("trial.X", "is one of several"),
            ("trial(3).X", "there is no"),
            ("clab{4}", "there is no element (4) in a cell of size 1x3"),
            ("double{1}", "there is no element (1)"),
            ("none", "present:"),
            ("a b c{", "is no name"),
        ] {
            let error = mat.read(name).unwrap_err().to_string();
            assert!(error.contains(part), "{file} {name}: {error}");
        }
    }
}

#[test]
fn hdf5_of_other_programs_reads_as_matlab_would() {
    let mat = Mat::open(fixture("hdf5/clip.h5")).unwrap();
    assert_eq!(mat.read("resampled_signal").unwrap().shape(), [20, 19]);
    let rate = mat.read("resample_freq").unwrap();
    assert_eq!(rate, Array::I64(ArrayD::from_elem(vec![], 200)));
}

#[test]
fn damaged_files_are_errors() {
    for file in FILES {
        damage(file, 400, |bytes| {
            Mat::parse(bytes, Path::new("a.mat")).is_ok_and(|mat| {
                let names = mat.names();
                let mut read = 0;
                for name in &names {
                    read += usize::from(mat.read(name).is_ok());
                    let _ = mat.info(name);
                }
                for inside in ["EEG.inner.a", "trial(2).X", "mixed{2,2}", "clab{1}"] {
                    read += usize::from(mat.read(inside).is_ok());
                }
                read == 13
            })
        });
    }
}

#[test]
fn an_empty_variable_of_impossible_shape_is_refused() {
    let path = fixture("mat/v73.mat");
    let mut bytes = std::fs::read(&path).unwrap();
    // The shape of an empty variable is its data: 0 x 3.
    let at = bytes
        .windows(16)
        .position(|w| w[..8] == [0; 8] && w[8..] == 3u64.to_le_bytes())
        .unwrap();
    let shape = Mat::parse(&bytes, &path).unwrap().read("empty").unwrap();
    assert_eq!(shape.shape(), [0, 3]);
    bytes[at + 8..at + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    let mat = Mat::parse(&bytes, &path).unwrap();
    let message = mat.read("empty").unwrap_err().to_string();
    assert!(message.contains("empty"), "{message}");
}
