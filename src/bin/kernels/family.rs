//! Operations of the Mamba family: random problems, and their results by the kernels of a device or
//! by the plain tensor operations in f64.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba::ops::causal_conv1d::{self, causal_conv1d};
use tgmamba::ops::rms_norm::{self, rms_norm};
use tgmamba::ops::selective_state_update::{
    self as update, ChannelStep, HeadStep, selective_state_update, selective_state_update_heads,
};
use tgmamba::ops::ssd::{self, SsdInput, ssd};

use super::problem::{relative_error, unless_cancelled};

/// An operation and its sizes.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// b, l, d, k; packed sequences and inputs before the first step, or neither.
    Conv { size: [usize; 4], packed: bool },
    /// Rows, channels, groups; whether there is a gate, and whether it acts after the norm.
    Norm {
        size: [usize; 3],
        gate: Option<bool>,
    },
    /// b, d, n.
    Channels { size: [usize; 3] },
    /// b, h, p, g, n.
    Heads { size: [usize; 5] },
    /// b, l, h, p, g, n; packed sequences and a state before the first step, or neither.
    Ssd { size: [usize; 6], packed: bool },
}

/// A tensor of a problem.
struct Operand {
    name: &'static str,
    shape: Vec<usize>,
    low: f64,
    high: f64,
    /// Kept in f32 whatever the signals are stored in.
    wide: bool,
}

fn signal(name: &'static str, shape: &[usize], low: f64, high: f64) -> Operand {
    Operand {
        name,
        shape: shape.to_vec(),
        low,
        high,
        wide: false,
    }
}

fn parameter(name: &'static str, shape: &[usize], low: f64, high: f64) -> Operand {
    Operand {
        wide: true,
        ..signal(name, shape, low, high)
    }
}

impl Op {
    fn operands(&self) -> Vec<Operand> {
        match *self {
            Self::Conv {
                size: [b, l, d, k], ..
            } => vec![
                signal("x", &[b, l, d], -1.0, 1.0),
                parameter("weight", &[d, k], -1.0, 1.0),
                parameter("bias", &[d], -1.0, 1.0),
                signal("initial", &[b, k - 1, d], -1.0, 1.0),
            ],
            Self::Norm {
                size: [rows, d, _], ..
            } => vec![
                signal("x", &[rows, d], -2.0, 2.0),
                parameter("weight", &[d], -1.0, 1.0),
                signal("gate", &[rows, d], -3.0, 3.0),
            ],
            Self::Channels { size: [b, d, n] } => vec![
                signal("state", &[b, d, n], -1.0, 1.0),
                signal("x", &[b, d], -1.0, 1.0),
                signal("dt", &[b, d], -4.0, 3.0),
                parameter("a", &[d, n], -2.0, -0.05),
                signal("b", &[b, n], -1.0, 1.0),
                signal("c", &[b, n], -1.0, 1.0),
                parameter("d", &[d], -1.0, 1.0),
                signal("z", &[b, d], -3.0, 3.0),
                parameter("bias", &[d], -1.0, 1.0),
            ],
            Self::Heads {
                size: [b, h, p, g, n],
            } => vec![
                signal("state", &[b, h, p, n], -1.0, 1.0),
                signal("x", &[b, h, p], -1.0, 1.0),
                signal("dt", &[b, h], -4.0, 3.0),
                parameter("a", &[h], -2.0, -0.05),
                signal("b", &[b, g, n], -1.0, 1.0),
                signal("c", &[b, g, n], -1.0, 1.0),
                parameter("d", &[h, 1], -1.0, 1.0),
                signal("z", &[b, h, p], -3.0, 3.0),
                parameter("bias", &[h], -1.0, 1.0),
            ],
            Self::Ssd {
                size: [b, l, h, p, g, n],
                packed,
            } => vec![
                signal("x", &[b, l, h, p], -1.0, 1.0),
                parameter("dt", &[b, l, h], 0.001, 0.1),
                parameter("a", &[h], -8.0, -0.5),
                signal("b", &[b, l, g, n], -1.0, 1.0),
                signal("c", &[b, l, g, n], -1.0, 1.0),
                parameter("d", &[h, if packed { p } else { 1 }], -1.0, 1.0),
                parameter("initial", &[b, h, p, n], -1.0, 1.0),
            ],
        }
    }

    /// Whether there are gradients.
    pub fn differentiable(&self) -> bool {
        !matches!(self, Self::Channels { .. } | Self::Heads { .. })
    }

    pub fn label(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// An operation with its operands as numbers.
pub struct Problem {
    pub op: Op,
    values: Vec<Vec<f64>>,
    /// Ids of the steps, for packed sequences.
    ids: Vec<i64>,
    /// A stream of weights for the results in the loss.
    seed: u64,
}

impl Problem {
    pub fn random(op: Op, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values = op
            .operands()
            .iter()
            .map(|x| {
                let count: usize = x.shape.iter().product();
                (0..count)
                    .map(|_| rng.random_range(x.low..x.high))
                    .collect()
            })
            .collect();
        let [b, l] = match op {
            Op::Conv { size, .. } => [size[0], size[1]],
            Op::Ssd { size, .. } => [size[0], size[1]],
            _ => [0, 0],
        };
        // Padding, then sequences that change a few times.
        let mut ids = Vec::new();
        for _ in 0..b {
            let mut id = -1;
            for _ in 0..l {
                if rng.random_range(0..l.max(4)) < 4 {
                    id += 1;
                }
                ids.push(id);
            }
        }
        Self {
            op,
            values,
            ids,
            seed,
        }
    }

    pub fn load(&self, device: &Device, dtype: DType) -> Loaded {
        let kinds = self.op.operands();
        let wide = match dtype {
            DType::F64 => DType::F64,
            _ => DType::F32,
        };
        let leaf = |(values, kind): (&Vec<f64>, &Operand)| {
            let dtype = if kind.wide { wide } else { dtype };
            let data = TensorData::new(values.clone(), [values.len()]).convert_dtype(dtype);
            let t = Tensor::<1>::from_data(data, (device, dtype));
            if device.is_autodiff() {
                t.require_grad()
            } else {
                t
            }
        };
        let leaves = self.values.iter().zip(&kinds).map(leaf).collect();
        let ids = match self.op {
            Op::Conv { size, packed: true } => Some([size[0], size[1]]),
            Op::Ssd { size, packed: true } => Some([size[0], size[1]]),
            _ => None,
        };
        Loaded {
            op: self.op,
            shapes: kinds.iter().map(|x| x.shape.clone()).collect(),
            names: kinds.iter().map(|x| x.name).collect(),
            leaves,
            ids: ids
                .map(|shape| Tensor::from_data(TensorData::new(self.ids.clone(), shape), device)),
            seed: self.seed,
            wide,
        }
    }

    /// The numbers as `dtype` stores them.
    pub fn rounded(mut self, dtype: DType) -> Self {
        for (values, kind) in self.values.iter_mut().zip(self.op.operands()) {
            if !kind.wide {
                let count = values.len();
                let data = TensorData::new(std::mem::take(values), [count]);
                *values = data.convert_dtype(dtype).iter::<f64>().collect();
            }
        }
        self
    }
}

/// A problem on a device.
pub struct Loaded {
    op: Op,
    shapes: Vec<Vec<usize>>,
    names: Vec<&'static str>,
    leaves: Vec<Tensor<1>>,
    ids: Option<Tensor<2, Int>>,
    seed: u64,
    wide: DType,
}

impl Loaded {
    fn get<const D: usize>(&self, i: usize) -> Tensor<D> {
        let shape: [usize; D] = self.shapes[i].clone().try_into().expect("the rank");
        self.leaves[i].clone().reshape(shape)
    }

    /// The results, flat; by the plain tensor operations if `plain`.
    pub fn run(&self, plain: bool) -> Vec<Tensor<1>> {
        fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
            let count = x.shape().num_elements();
            x.reshape([count])
        }
        match self.op {
            Op::Conv { packed, .. } => {
                let run = if plain {
                    causal_conv1d::reference::causal_conv1d
                } else {
                    causal_conv1d
                };
                let (y, last) = run(
                    self.get(0),
                    self.get(1),
                    Some(self.get(2)),
                    packed.then(|| self.get(3)),
                    self.ids.clone(),
                    true,
                );
                vec![flat(y), flat(last)]
            }
            Op::Norm { size, gate } => {
                let run = if plain {
                    rms_norm::reference::rms_norm::<2>
                } else {
                    rms_norm
                };
                let z = gate.map(|_| self.get(2));
                let after = gate == Some(true);
                vec![flat(run(self.get(0), self.get(1), 1e-5, z, size[2], after))]
            }
            Op::Channels { .. } => {
                let step = ChannelStep {
                    dt_proj: None,
                    x: self.get(1),
                    dt: self.get(2),
                    a: self.get(3),
                    b: self.get(4),
                    c: self.get(5),
                    d: Some(self.get(6)),
                    z: Some(self.get(7)),
                    dt_bias: Some(self.get(8)),
                    dt_softplus: true,
                    in_place: false,
                };
                let (y, state) = match plain {
                    true => update::reference::selective_state_update(self.get(0), step),
                    false => selective_state_update(self.get(0), step),
                };
                vec![flat(y), flat(state)]
            }
            Op::Heads { .. } => {
                let step = HeadStep {
                    x: self.get(1),
                    dt: self.get(2),
                    a: self.get(3),
                    b: self.get(4),
                    c: self.get(5),
                    d: Some(self.get(6)),
                    z: Some(self.get(7)),
                    dt_bias: Some(self.get(8)),
                    dt_softplus: true,
                    dt_limit: (0.0, f64::INFINITY),
                    in_place: false,
                };
                let (y, state) = match plain {
                    true => update::reference::selective_state_update_heads(self.get(0), step),
                    false => selective_state_update_heads(self.get(0), step),
                };
                vec![flat(y), flat(state)]
            }
            Op::Ssd { packed, .. } => {
                let run = if plain { ssd::reference::ssd } else { ssd };
                let out = run(SsdInput {
                    x: self.get(0),
                    dt: self.get(1),
                    a: self.get(2),
                    b: self.get(3),
                    c: self.get(4),
                    d: Some(self.get(5)),
                    initial: packed.then(|| self.get(6)),
                    seq_idx: self.ids.clone(),
                    chunk: 64,
                });
                vec![flat(out.y), flat(out.state)]
            }
        }
    }

    /// The loss of one backward pass: the sum of the first result.
    pub fn step(&self, plain: bool) {
        let y = self.run(plain).swap_remove(0);
        drop(y.backward());
    }

    /// Names and values of the results and the gradients; how many are results.
    fn results(&self, plain: bool) -> (Vec<(&'static str, Vec<f64>)>, usize) {
        let mut rng = ChaCha8Rng::seed_from_u64(!self.seed);
        let out = self.run(plain);
        let count = out.len();
        let numbers = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<_>>();
        let mut results: Vec<_> = ["y", "state"]
            .into_iter()
            .zip(out.iter().map(|t| numbers(t.clone())))
            .collect();
        if self.op.differentiable() {
            let device = self.leaves[0].device();
            let mut loss = Tensor::<1>::zeros([1], (&device, self.wide));
            for t in out {
                let n = t.shape().num_elements();
                // Halves and quarters, which every type holds.
                let weights: Vec<f64> = (0..n)
                    .map(|_| f64::from(rng.random_range(-4..=4)) / 4.0)
                    .collect();
                let data = TensorData::new(weights, [n]).convert_dtype(self.wide);
                let weights = Tensor::<1>::from_data(data, (&device, self.wide));
                loss = loss + (t.cast(self.wide) * weights).sum();
            }
            let grads = loss.backward();
            for (name, leaf) in self.names.iter().zip(&self.leaves) {
                if let Some(gradient) = leaf.grad(&grads) {
                    results.push((name, numbers(gradient)));
                }
            }
        }
        (results, count)
    }

    /// Leaves NaN in the memory that the device will hand out again.
    fn poison(&self) {
        let nan: Vec<_> = self
            .leaves
            .iter()
            .map(|t| t.clone().inner() * f32::NAN)
            .collect();
        drop(nan);
    }
}

/// Sizes of every kind; large ones have the shape of models.
pub fn cases(quick: bool) -> Vec<Op> {
    let mut cases = Vec::new();
    for packed in [false, true] {
        let conv: &[[usize; 4]] = match quick {
            true => &[[2, 37, 5, 4], [1, 3, 8, 2], [3, 130, 12, 3]],
            false => &[
                [1, 1, 1, 2],
                [2, 2, 64, 4],
                [2, 1134, 97, 3],
                [2, 2048, 4128, 4],
                [3, 129, 36, 4],
            ],
        };
        cases.extend(conv.iter().map(|&size| Op::Conv { size, packed }));
        let ssd: &[[usize; 6]] = match quick {
            true => &[
                [1, 37, 2, 5, 1, 3],
                [2, 100, 4, 16, 2, 16],
                [1, 70, 2, 24, 1, 40],
            ],
            false => &[
                [1, 1, 1, 1, 1, 1],
                [2, 130, 6, 7, 3, 9],
                [1, 100, 32, 64, 8, 64],
                [2, 700, 8, 64, 1, 128],
                [1, 1000, 6, 40, 2, 100],
                [2, 333, 4, 128, 4, 32],
                [1, 2048, 144, 64, 1, 128],
                [1, 300, 4, 64, 1, 256],
            ],
        };
        cases.extend(ssd.iter().map(|&size| Op::Ssd { size, packed }));
    }
    for gate in [None, Some(false), Some(true)] {
        let norm: &[[usize; 3]] = match quick {
            true => &[[5, 64, 1], [40, 99, 3], [3, 4100, 1]],
            false => &[
                [1, 1, 1],
                [300, 2048, 1],
                [2100, 4096, 64],
                [33, 40_000, 1],
                [70, 1537, 1],
            ],
        };
        cases.extend(norm.iter().map(|&size| Op::Norm { size, gate }));
    }
    let channels: &[[usize; 3]] = match quick {
        true => &[[2, 5, 3], [3, 40, 16]],
        false => &[[2, 2064, 16], [64, 1536, 16], [1, 33, 70]],
    };
    cases.extend(channels.iter().map(|&size| Op::Channels { size }));
    let heads: &[[usize; 5]] = match quick {
        true => &[[2, 6, 5, 3, 7], [1, 4, 64, 1, 128]],
        false => &[[1, 24, 64, 1, 128], [64, 64, 64, 4, 64], [3, 8, 16, 8, 33]],
    };
    cases.extend(heads.iter().map(|&size| Op::Heads { size }));
    cases
}

/// Checks one operation: the worst errors forward and backward, or what is wrong.
pub fn check(op: Op, device: &Device, dtype: DType, seed: u64) -> Result<[f64; 2], String> {
    let problem = Problem::random(op, seed).rounded(dtype);
    let on = |device: &Device| match op.differentiable() {
        true => device.clone().autodiff(),
        false => device.clone(),
    };
    let exact = |problem: &Problem| {
        problem
            .load(&on(&Device::flex()), DType::F64)
            .results(true)
            .0
    };
    let expected = exact(&problem);
    let loaded = problem.load(&on(device), dtype);
    loaded.poison();
    let (found, outputs) = loaded.results(false);
    let (again, _) = loaded.results(false);
    let half = dtype.size() == 2;
    let mut worst = [0.0f64; 2];
    if found.len() != expected.len() {
        return Err(format!("{} results, not {}", found.len(), expected.len()));
    }
    for (i, (name, values)) in found.iter().enumerate() {
        let kind = usize::from(i >= outputs);
        let bound = match (half, kind) {
            (true, _) => 2e-2,
            (false, 0) => 1e-5,
            (false, _) => 1e-4,
        };
        let error = relative_error(values, &expected[i].1);
        let error = unless_cancelled(error, bound, &expected[i].1, |k| {
            let seed = seed.wrapping_add(k << 32);
            exact(&Problem::random(op, seed).rounded(dtype))
                .swap_remove(i)
                .1
        });
        let what = ["", "gradient of "][kind];
        if error > bound {
            return Err(format!(
                "{what}{name}: relative error {error:.2e} > {bound:.0e}"
            ));
        }
        let mut pairs = values.iter().zip(&again[i].1);
        if pairs.any(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(format!("{what}{name}: two runs differ"));
        }
        worst[kind] = worst[kind].max(error);
    }
    Ok(worst)
}
