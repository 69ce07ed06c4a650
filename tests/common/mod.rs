//! Reading the fixtures that `tests/fixtures/make_fixtures.py` wrote, and comparing with them.

#![allow(dead_code, reason = "each test program uses a part of this module")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use tgmamba::nn::state_dict::{self, HostTensor, StateDict};

/// Largest deviation allowed, relative to the largest entry of the expected array.
pub const TOLERANCE: f64 = 1e-5;

/// The same for gradients; whole blocks with learned edges round a little more than one layer.
pub const GRADIENT_TOLERANCE: f64 = 2e-5;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// One fixture: arrays by name and its settings.
pub struct Fixture {
    pub name: String,
    pub arrays: StateDict,
    pub integers: BTreeMap<String, Vec<i64>>,
    pub config: serde_json::Value,
}

impl Fixture {
    pub fn open(name: &str) -> Self {
        let path = fixtures().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get("config"))
            .map(|text| serde_json::from_str(text).unwrap())
            .unwrap_or(serde_json::Value::Null);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut arrays = StateDict::new();
        let mut integers = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() == Dtype::I64 {
                let values = view.data().as_chunks::<8>().0.iter();
                integers.insert(
                    name.into(),
                    values.map(|b| i64::from_le_bytes(*b)).collect(),
                );
            } else {
                let values = view.data().as_chunks::<4>().0.iter();
                let tensor = HostTensor {
                    shape: view.shape().to_vec(),
                    values: values.map(|b| f32::from_le_bytes(*b)).collect(),
                };
                arrays.insert(name.into(), tensor);
            }
        }
        Self {
            name: name.into(),
            arrays,
            integers,
            config,
        }
    }

    /// Every fixture of a folder.
    pub fn all(folder: &str) -> Vec<Self> {
        let mut names: Vec<String> = std::fs::read_dir(fixtures().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
            .map(|p| format!("{folder}/{}", p.file_stem().unwrap().to_str().unwrap()))
            .collect();
        names.sort();
        assert!(!names.is_empty(), "no fixtures in {folder}");
        names.iter().map(|name| Self::open(name)).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let array = self
            .arrays
            .get(name)
            .unwrap_or_else(|| panic!("{} has no {name}", self.name));
        tensor(array, device)
    }

    /// The adjacency as (b, l or 1, v, w).
    pub fn adjacency(&self, name: &str, device: &Device) -> Tensor<4> {
        if self.arrays[name].shape.len() == 3 {
            self.tensor::<3>(name, device).unsqueeze_dim(1)
        } else {
            self.tensor(name, device)
        }
    }

    /// Arrays whose names start with `prefix`, without it.
    pub fn under(&self, prefix: &str) -> StateDict {
        self.arrays
            .iter()
            .filter_map(|(name, array)| {
                let name = name.strip_prefix(prefix)?;
                Some((name.to_string(), array.clone()))
            })
            .collect()
    }

    pub fn check<const D: usize>(&self, name: &str, found: Tensor<D>) {
        self.check_within(name, found, TOLERANCE);
    }

    pub fn check_within<const D: usize>(&self, name: &str, found: Tensor<D>, tolerance: f64) {
        let expected = &self.arrays[name].values;
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let what = format!("{} {name}", self.name);
        assert_close(&what, &found, expected, tolerance);
    }

    /// Compares a gradient with respect to an adjacency, which is defined on the edges only.
    pub fn check_on_edges<const D: usize>(&self, name: &str, adjacency: &str, found: Tensor<D>) {
        let edges = &self.arrays[adjacency].values;
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let on_edges = |values: &[f32]| -> Vec<f32> {
            let pairs = values.iter().zip(edges);
            pairs.filter(|(_, e)| **e != 0.0).map(|(v, _)| *v).collect()
        };
        let expected = on_edges(&self.arrays[name].values);
        let what = format!("{} {name}", self.name);
        assert_close(&what, &on_edges(&found), &expected, GRADIENT_TOLERANCE);
    }

    /// Compares the gradients of a module's parameters, by name.
    pub fn check_gradients<M: Module>(&self, module: M, grads: &Gradients) {
        let found = gradients(module, grads);
        let expected = self.under("grad.param.");
        assert!(
            !expected.is_empty(),
            "{}: no gradients to compare",
            self.name
        );
        for (name, expected) in expected {
            let found = found
                .get(&name)
                .unwrap_or_else(|| panic!("{}: no parameter {name}", self.name));
            let what = format!("{} grad {name}", self.name);
            if name.ends_with("K_proj.bias") {
                // It shifts whole rows of a softmax: its gradient is zero but for rounding.
                let scale = self.arrays[&format!("grad.param.{}", name.replace("bias", "weight"))]
                    .values
                    .iter()
                    .fold(0.0f32, |m, v| m.max(v.abs()));
                let largest = found.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(
                    largest <= 1e-5 * scale.max(1.0),
                    "{what}: {largest} is not zero"
                );
                continue;
            }
            assert_close(&what, &found.values, &expected.values, GRADIENT_TOLERANCE);
        }
    }
}

pub fn tensor<const D: usize>(array: &HostTensor, device: &Device) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, device)
}

/// Largest deviation relative to the largest expected entry.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "sizes differ");
    let scale = expected
        .iter()
        .fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let error = found
        .iter()
        .zip(expected)
        .map(|(a, b)| {
            let d = f64::from(*a) - f64::from(*b);
            if d.is_nan() { f64::INFINITY } else { d.abs() }
        })
        .fold(0.0f64, f64::max);
    error / scale.max(1e-6)
}

pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let error = relative_error(found, expected);
    assert!(
        error <= tolerance,
        "{what}: relative error {error:.2e} > {tolerance:.0e}"
    );
}

/// Loads parameters that must fit exactly.
pub fn load<M: Module>(module: M, dict: &StateDict) -> M {
    let (module, mismatch) = state_dict::apply(module, dict);
    assert!(mismatch.is_empty(), "{mismatch:?}");
    module
}

/// The gradients of a module's parameters under the names of its state dict.
pub fn gradients<M: Module>(module: M, grads: &Gradients) -> StateDict {
    struct Replace<'a>(&'a Gradients);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = param.val();
            let grad = value
                .grad(self.0)
                .unwrap_or_else(|| value.inner().zeros_like());
            Param::initialized(param.id, grad)
        }
    }
    state_dict::collect(&module.map(&mut Replace(grads)))
}
