//! Reading files that other programs wrote.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, arr1, arr2};
use tgmamba_graph::formats::Array;
use tgmamba_graph::formats::mat::Mat;
use tgmamba_graph::formats::npy::{Npz, read_npy, write_npz};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn grid() -> ArrayD<i64> {
    arr2(&[[0, 1, 2], [3, 4, 5]]).into_dyn()
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| w.to_string()).collect()
}

#[test]
fn npz_of_numpy() {
    for file in ["numpy.npz", "numpy_compressed.npz"] {
        let path = fixture(file);
        let mut npz = Npz::open(&path).unwrap();
        for kind in ["int", "uint"] {
            for bits in [8, 16, 32, 64] {
                let array = npz.read(&format!("{kind}{bits}")).unwrap();
                assert_eq!(array, Array::I64(grid()), "{kind}{bits}");
            }
        }
        for name in ["float32", "float64", "fortran", "big_endian"] {
            let array = npz.read(name).unwrap().into_f64(&path, name).unwrap();
            assert_eq!(array, grid().mapv(|v| v as f64), "{name}");
        }
        let truth = npz.read("bool").unwrap();
        assert_eq!(truth, Array::I64(grid().mapv(|v| v % 2)));
        let scalar = npz.read("scalar").unwrap();
        assert_eq!(scalar.into_f32(&path, "scalar").unwrap().sum(), 7.5);
        assert_eq!(npz.read("empty").unwrap().shape(), [0, 3]);
        let names = npz.read("names").unwrap();
        assert_eq!(
            names,
            Array::Text(arr1(&text(&["Oz", "Fp1", "é"])).into_dyn())
        );
        let bytes = npz.read("bytes").unwrap();
        assert_eq!(bytes, Array::Text(arr1(&text(&["Oz", "Fp1"])).into_dyn()));
    }
    let single = read_npy(fixture("int16.npy")).unwrap();
    assert_eq!(single, Array::I64(grid()));
}

#[test]
fn npz_types_that_are_refused() {
    let mut npz = Npz::open(fixture("refused.npz")).unwrap();
    let half = npz.read("half").unwrap();
    assert_eq!(half, Array::F32(grid().mapv(|v| v as f32)));
    for name in ["complex", "object"] {
        let error = npz.read(name).unwrap_err().to_string();
        assert!(error.contains("refused.npz"), "{error}");
        assert!(error.contains("is not read"), "{error}");
    }
}

#[test]
fn mat_of_scipy() {
    for file in ["scipy.mat", "scipy_compressed.mat"] {
        let path = fixture(file);
        let mat = Mat::open(&path).unwrap();
        let double = mat.read("double").unwrap().into_f64(&path, "double");
        let expected = ArrayD::from_shape_fn(vec![2, 3, 4], |i| {
            (12 * i[0] + 4 * i[1] + i[2]) as f64 / 8.0
        });
        assert_eq!(double.unwrap(), expected);
        let single = mat.read("single").unwrap();
        assert_eq!(single, Array::F32(grid().mapv(|v| v as f32)));
        assert_eq!(mat.read("bytes").unwrap(), Array::I64(grid()));
        let long = mat.read("long").unwrap();
        assert_eq!(long, Array::I64(grid().mapv(|v| v - (1 << 40))));
        let logical = mat.read("logical").unwrap();
        assert_eq!(logical, Array::I64(grid().mapv(|v| v % 2)));
        let clab = mat.read("clab").unwrap().into_text(&path, "clab").unwrap();
        assert_eq!(
            clab.into_iter().collect::<Vec<_>>(),
            text(&["Oz", "Fp1", "é"])
        );
        let rows = mat.read("text").unwrap().into_text(&path, "text").unwrap();
        assert_eq!(
            rows.into_iter().collect::<Vec<_>>(),
            text(&["left", "right"])
        );
        for name in ["record", "complex", "mixed"] {
            let error = mat.read(name).unwrap_err().to_string();
            assert!(error.contains("which is not read"), "{error}");
        }
    }
}

#[test]
fn cut_and_changed_files_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "numpy.npz",
        "numpy_compressed.npz",
        "scipy.mat",
        "scipy_compressed.mat",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        let all_read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            if name.ends_with("npz") {
                Npz::open(&path).map(|mut z| {
                    let names = z.names();
                    names.iter().all(|n| z.read(n).is_ok())
                })
            } else {
                Mat::open(&path).map(|m| m.names().len() == 10)
            }
        };
        assert!(all_read(&whole).unwrap());
        for n in (0..whole.len()).step_by(13) {
            assert!(!all_read(&whole[..n]).unwrap_or(false), "{name} {n}");
            let mut changed = whole.clone();
            changed[n] ^= 0x5a;
            let _ = all_read(&changed);
        }
    }
}

#[test]
fn what_is_written_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/a.npz");
    let a = grid().mapv(|v| v as f32);
    write_npz(&path, &[("a", a.clone()), ("t", a.clone().reversed_axes())]).unwrap();
    let mut npz = Npz::open(&path).unwrap();
    assert_eq!(npz.read("a").unwrap(), Array::F32(a.clone()));
    assert_eq!(npz.read("t").unwrap(), Array::F32(a.reversed_axes()));
}
