//! The parameters of a module by name, in PyTorch's layout.
//!
//! Names are module paths; linear weights are (out, in) here and (in, out) in Burn. Fields that
//! carry mathematical names in checkpoints (`A_log`, `D`, `gconv_A`, `Q_proj`) are renamed.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{FloatDType, Tensor, TensorData};

/// A tensor on the host, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Parameters by name.
pub type StateDict = BTreeMap<String, HostTensor>;

/// What did not fit when a state dict was applied to a module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mismatch {
    /// Parameters of the module that the state dict lacks.
    pub missing: Vec<String>,
    /// Entries of the state dict that the module lacks.
    pub unused: Vec<String>,
    /// Name, shape wanted, shape found.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Nothing missing, nothing unused, every shape right.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unused.is_empty() && self.shapes.is_empty()
    }
}

/// All parameters of a module.
pub fn collect<M: Module>(module: &M) -> StateDict {
    let mut visitor = Collector::default();
    module.visit(&mut visitor);
    visitor.dict
}

/// Number of parameters of a module.
pub fn parameters<M: Module>(module: &M) -> usize {
    let shapes = shapes(module);
    shapes.values().map(|s| s.iter().product::<usize>()).sum()
}

/// The identifiers under which optimizers keep the state of each parameter.
pub fn param_ids<M: Module>(module: &M) -> BTreeMap<String, u64> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.ids
}

/// Puts `dict` into the module.
///
/// The module comes back unchanged in the parameters that [`Mismatch`] lists.
pub fn apply<M: Module>(module: M, dict: &StateDict) -> (M, Mismatch) {
    let mut mapper = Applier {
        path: Path::default(),
        dict,
        mismatch: Mismatch::default(),
        seen: Vec::new(),
    };
    let module = module.map(&mut mapper);
    let mut mismatch = mapper.mismatch;
    mismatch.unused = dict
        .keys()
        .filter(|name| !mapper.seen.contains(name))
        .cloned()
        .collect();
    (module, mismatch)
}

/// A parameter that waits for its values.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape in the module.
    pub own: &'a [usize],
    /// Whether checkpoints store its transpose.
    pub transposed: bool,
    /// Whether it is the matrix of a linear layer or an embedding.
    pub matrix: bool,
}

/// The shape of every parameter in PyTorch's layout; parameters that are not made yet stay so.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.shapes
}

/// Puts what `values` gives, in the module's own shape and any float type, into the parameters;
/// those it gives nothing for stay as they are.
pub fn fill<M: Module>(module: M, values: impl FnMut(Slot) -> Option<TensorData>) -> M {
    module.map(&mut Filler {
        path: Path::default(),
        values,
    })
}

/// Keeps the matrices of linear layers and embeddings in another type.
pub fn cast_matrices<M: Module>(module: M, dtype: FloatDType) -> M {
    module.map(&mut Caster {
        path: Path::default(),
        dtype,
    })
}

struct Caster {
    path: Path,
    dtype: FloatDType,
}

impl ModuleMapper for Caster {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.path.transposed(D) || self.path.embeds() {
            true => param.map(|tensor| tensor.cast(self.dtype)),
            false => param,
        }
    }
}

#[derive(Default)]
struct Shapes {
    path: Path,
    shapes: BTreeMap<String, Vec<usize>>,
    ids: BTreeMap<String, u64>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.lazy_shape().dims::<D>().to_vec();
        if self.path.transposed(D) {
            shape.swap(0, 1);
        }
        self.ids.insert(self.path.name(), param.id.val());
        self.shapes.insert(self.path.name(), shape);
    }
}

struct Filler<F> {
    path: Path,
    values: F,
}

impl<F: FnMut(Slot) -> Option<TensorData>> ModuleMapper for Filler<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let own: [usize; D] = param.lazy_shape().dims();
        let transposed = self.path.transposed(D);
        let slot = Slot {
            name: &self.path.name(),
            own: &own,
            transposed,
            matrix: transposed || self.path.embeds(),
        };
        let Some(data) = (self.values)(slot) else {
            return param;
        };
        let dtype = data.dtype();
        let tensor = Tensor::<D>::from_data(data, (&param.lazy_device(), dtype));
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// Where a traversal is.
#[derive(Default)]
struct Path {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.to_string());
        self.containers.push(container.to_string());
    }

    fn exit(&mut self) {
        self.names.pop();
        self.containers.pop();
    }

    /// The checkpoint name: enum variants are no part of it.
    fn name(&self) -> String {
        let mut parts: Vec<String> = Vec::with_capacity(self.names.len());
        for (name, container) in self.names.iter().zip(&self.containers) {
            if container.starts_with("Enum:") {
                continue;
            }
            // The linear layers of the edge network have activations between them, which count
            // in the numbering of a PyTorch sequence.
            let in_sequence = parts.last().is_some_and(|p| p == "edge_transform");
            parts.push(match name.as_str() {
                "a_log" => "A_log".into(),
                "d_skip" => "D".into(),
                "gconv_a" => "gconv_A".into(),
                "gconv_b" => "gconv_B".into(),
                "gconv_c" => "gconv_C".into(),
                "q_proj" => "Q_proj".into(),
                "k_proj" => "K_proj".into(),
                index if in_sequence => match index.parse::<usize>() {
                    Ok(i) => (2 * i).to_string(),
                    Err(_) => index.into(),
                },
                other => other.into(),
            });
        }
        parts.join(".")
    }

    fn embeds(&self) -> bool {
        self.containers
            .last()
            .is_some_and(|c| c == "Struct:Embedding")
    }

    fn transposed(&self, rank: usize) -> bool {
        rank == 2 && self.containers.last().is_some_and(|c| c == "Struct:Linear")
    }
}

/// Scalars are one-element vectors in Burn and have no axes in PyTorch.
fn is_scalar(name: &str) -> bool {
    name.ends_with("skip_param")
}

#[derive(Default)]
struct Collector {
    path: Path,
    dict: StateDict,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let mut tensor = param.val().detach();
        if self.path.transposed(D) {
            tensor = tensor.swap_dims(0, 1);
        }
        let shape = if is_scalar(&name) {
            vec![]
        } else {
            tensor.dims().to_vec()
        };
        let values = tensor.into_data().iter::<f32>().collect();
        self.dict.insert(name, HostTensor { shape, values });
    }
}

struct Applier<'a> {
    path: Path,
    dict: &'a StateDict,
    mismatch: Mismatch,
    seen: Vec<String>,
}

impl ModuleMapper for Applier<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        self.seen.push(name.clone());
        let Some(found) = self.dict.get(&name) else {
            self.mismatch.missing.push(name);
            return param;
        };
        let transposed = self.path.transposed(D);
        let own: [usize; D] = param.lazy_shape().dims();
        let mut wanted = own.to_vec();
        if transposed {
            wanted.swap(0, 1);
        }
        let scalar = is_scalar(&name) && found.values.len() == 1;
        if found.shape != wanted && !scalar {
            self.mismatch
                .shapes
                .push((name, wanted, found.shape.clone()));
            return param;
        }
        let device = param.lazy_device();
        // Transposed here rather than on the device: a strided view would send matrix products
        // down another path, with another rounding than the weights that were saved.
        let values = if transposed {
            transpose(&found.values, wanted[0], wanted[1])
        } else {
            found.values.clone()
        };
        let tensor = Tensor::<D>::from_data(TensorData::new(values, own), &device);
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// Row-major (rows, columns) to row-major (columns, rows).
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|j| (0..rows).map(move |i| values[i * columns + j]))
        .collect()
}
