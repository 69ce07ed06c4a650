//! The graph selective scan: a selective state space whose state is mixed over a graph at every
//! step.
//!
//! With `b` batch, `v`/`w` vertices, `l` time, `d` channels, `n` state:
//!
//! ```text
//! h_t = exp(Δ_t A) ⊙ gconv_A(h_{t-1}; P_t) + (Δ_t u_t) B_t        h: (b, v, d, n)
//! y_t = Σ_n gconv_C(h_t; P_t)[.., n] C_t[.., n] + D u_t            y: (b, v, d)
//! gconv(H) = H W_root + (P H) W_rel                               W: (n, n), P: (v, w)
//! ```
//!
//! The output convolution is folded into C before the scan: with `C1 = C W_rootᵀ` and
//! `C2 = C W_relᵀ` (both of gconv_C), `y_t = Σ_n h_t C1_t + Σ_n (P_t h_t) C2_t + D u_t`, which
//! costs 2n instead of n² per element; when P is constant the product `P h_t` also serves step
//! t + 1.
//!
//! Source: selective scan of Gu & Dao, "Mamba" (arXiv:2312.00752), §3.2; graph mixing of TGMamba.

mod autodiff;
mod backend;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor};

use super::{is_cpu, matmul::matmul, sparse::SparseMatrix, sparse::sparse_product};
use backend::{GraphScanBackend, Operands, ScanSpec};
use reference::StateWeights;

/// Signals and parameters of a selective scan.
#[derive(Debug, Clone)]
pub struct ScanInput {
    /// Input u, (b, v, l, d).
    pub u: Tensor<4>,
    /// Step size Δ > 0, (b, v, l, d).
    pub delta: Tensor<4>,
    /// State matrix A < 0, (d, n), diagonal for each channel.
    pub a: Tensor<2>,
    /// Input projection B, (b, v, l, n).
    pub b: Tensor<4>,
    /// Output projection C, (b, v, l, n).
    pub c: Tensor<4>,
    /// Skip D, (d).
    pub d: Option<Tensor<1>>,
    /// State before the first step, (b, v, d, n); zero if absent.
    pub initial_state: Option<Tensor<4>>,
}

/// The graph and the two linear graph convolutions that act on the state.
#[derive(Debug, Clone)]
pub struct GraphMixing {
    /// Propagation matrix P, (b or 1, l or 1, v, w); entry [target, source].
    pub p: Tensor<4>,
    /// W_root of gconv_A, (n, n), rows are inputs; absent means zero.
    pub a_root: Option<Tensor<2>>,
    /// W_rel of gconv_A, (n, n).
    pub a_rel: Tensor<2>,
    /// W_root of gconv_C, (n, n); absent means zero.
    pub c_root: Option<Tensor<2>>,
    /// W_rel of gconv_C, (n, n).
    pub c_rel: Tensor<2>,
}

impl GraphMixing {
    /// P and the weights.
    fn into_parts(self) -> (Tensor<4>, StateWeights) {
        let weights = StateWeights {
            a_root: self.a_root,
            a_rel: self.a_rel,
            c_root: self.c_root,
            c_rel: self.c_rel,
        };
        (self.p, weights)
    }
}

/// Result of a scan.
#[derive(Debug, Clone)]
pub struct ScanOutput {
    /// Output y, (b, v, l, d).
    pub y: Tensor<4>,
    /// State after the last step, (b, v, d, n).
    pub state: Tensor<4>,
}

/// Runs the graph selective scan.
///
/// Differentiable in every tensor of `input` and `mixing`, the final state too. u, Δ, B, C and y
/// may be stored in bf16 or f16; the state and all sums are f32 (f64 on the CPU where the operands
/// are). For the backward pass the state is kept every ~√l steps and recomputed in between.
///
/// # Panics
/// If the shapes do not fit together as documented on the fields, or a size is zero.
pub fn graph_scan(input: ScanInput, mixing: GraphMixing) -> ScanOutput {
    check(&input, &mixing);
    if !has_kernel(&input.u.device(), input.u.dtype()) {
        return reference::graph_scan(input, mixing);
    }
    let (p, weights) = mixing.into_parts();
    run(input, p, false, weights)
}

/// [`graph_scan`] over a graph given by its edges, the same for all samples and steps: products with
/// P cost its entries only. Differentiable in every tensor of `input` and `weights`.
///
/// # Panics
/// As [`graph_scan`].
pub fn sparse_graph_scan(input: ScanInput, p: &SparseMatrix, weights: StateWeights) -> ScanOutput {
    check_input(&input, p.size());
    check_weights(&input, &weights);
    let kernel = has_kernel(&input.u.device(), input.u.dtype());
    match p.packed().filter(|_| kernel) {
        Some(p) => run(input, p, true, weights),
        None => {
            let propagate = |_, h| sparse_product(p, h);
            reference::linear_scan(input, weights, true, propagate, matmul)
        }
    }
}

/// The scan by a kernel; P as the operand of that name.
fn run(input: ScanInput, p: Tensor<4>, sparse: bool, weights: StateWeights) -> ScanOutput {
    let device = input.u.device();
    let n = input.a.dims()[1];
    // The GPU kernels read the state in vectors of four.
    let padded = match is_cpu(&device) {
        true => n,
        false => n.next_multiple_of(4),
    };
    let (input, mixing) = pad_state(input, weights, padded);
    let ScanInput {
        u,
        delta,
        a,
        b,
        c,
        d,
        initial_state,
    } = input;
    let [batch, v, l, _] = u.dims();
    let fold = |w: Tensor<2>| {
        let rows = c.clone().reshape([batch * v * l, padded]);
        let w = w.cast(rows.dtype());
        matmul(rows, w.transpose()).reshape([batch, v, l, padded])
    };
    let c2 = fold(mixing.c_rel);
    let c1 = mixing.c_root.map(fold);
    let spec = ScanSpec {
        c1: c1.is_some(),
        skip: d.is_some(),
        a_root: mixing.a_root.is_some(),
        state: initial_state.is_some(),
        p_gradient: !sparse,
        sparse,
        every: checkpoint_distance(l),
    };
    // An absent operand is stood for by one that is there.
    let operands = Operands::<Dispatch> {
        u: u.into_dispatch(),
        delta: delta.into_dispatch(),
        c1: c1.unwrap_or_else(|| c2.clone()).into_dispatch(),
        b: b.into_dispatch(),
        c2: c2.into_dispatch(),
        skip: d
            .unwrap_or_else(|| a.clone().slice([0..1, 0..1]).reshape([1]))
            .into_dispatch(),
        p: p.into_dispatch(),
        a_root: mixing
            .a_root
            .unwrap_or_else(|| mixing.a_rel.clone())
            .into_dispatch(),
        a_rel: mixing.a_rel.into_dispatch(),
        state: match initial_state {
            Some(state) => state.into_dispatch(),
            None => a.clone().into_dispatch(),
        },
        a: a.into_dispatch(),
    };
    let out = Dispatch::graph_scan(operands, spec, false);
    let state: Tensor<4> = Tensor::from_dispatch(out.state);
    ScanOutput {
        y: Tensor::from_dispatch(out.y),
        state: match padded == n {
            true => state,
            false => state.narrow(3, 0, n),
        },
    }
}

/// Steps between two checkpoints: ~√l keeps the memory of states at O(√l). Short scans keep every
/// state, which is no more memory than the chunk of a long one.
fn checkpoint_distance(l: usize) -> usize {
    const KEEP_ALL: usize = 32;
    match l <= KEEP_ALL {
        true => 1,
        false => (l as f64).sqrt().ceil() as usize,
    }
}

/// Whether this device has a kernel for operands stored like this.
fn has_kernel(device: &Device, dtype: DType) -> bool {
    match is_cpu(device) {
        true => matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16),
        false => cfg!(feature = "cube") && matches!(dtype, DType::F32 | DType::F16 | DType::BF16),
    }
}

/// Zeros up to a state of `to`: they stay zero and leave no trace.
fn pad_state(input: ScanInput, mixing: StateWeights, to: usize) -> (ScanInput, StateWeights) {
    let n = input.a.dims()[1];
    if n == to {
        return (input, mixing);
    }
    fn grow<const D: usize>(x: Tensor<D>, axis: usize, to: usize) -> Tensor<D> {
        let mut shape = x.dims();
        shape[axis] = to - shape[axis];
        let zeros = Tensor::<D>::zeros(shape, (&x.device(), x.dtype()));
        Tensor::cat(vec![x, zeros], axis)
    }
    let square = |w: Tensor<2>| grow(grow(w, 0, to), 1, to);
    (
        ScanInput {
            a: grow(input.a, 1, to),
            b: grow(input.b, 3, to),
            c: grow(input.c, 3, to),
            initial_state: input.initial_state.map(|state| grow(state, 3, to)),
            ..input
        },
        StateWeights {
            a_root: mixing.a_root.map(square),
            a_rel: square(mixing.a_rel),
            c_root: mixing.c_root.map(square),
            c_rel: square(mixing.c_rel),
        },
    )
}

/// # Panics
/// With the operand, its shape and the expected one.
fn check(input: &ScanInput, mixing: &GraphMixing) {
    let [b, v, l, _] = input.u.dims();
    check_input(input, v);
    let [p_b, p_l, _, _] = mixing.p.dims();
    let broadcast = |size: usize, full: usize| if size == 1 { 1 } else { full };
    expect(
        input,
        "p",
        &mixing.p.dims(),
        &[broadcast(p_b, b), broadcast(p_l, l), v, v],
    );
    check_weights(input, &mixing.clone().into_parts().1);
}

fn check_weights(input: &ScanInput, weights: &StateWeights) {
    let n = input.a.dims()[1];
    for (name, w) in [
        ("a_root", weights.a_root.as_ref()),
        ("a_rel", Some(&weights.a_rel)),
        ("c_root", weights.c_root.as_ref()),
        ("c_rel", Some(&weights.c_rel)),
    ] {
        if let Some(w) = w {
            expect(input, name, &w.dims(), &[n, n]);
        }
    }
}

fn check_input(input: &ScanInput, vertices: usize) {
    let [b, v, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    for (size, letter) in [(b, "b"), (v, "v"), (l, "l"), (d, "d"), (n, "n")] {
        assert!(
            size > 0,
            "graph_scan: {letter} is 0, u is {:?}",
            [b, v, l, d]
        );
    }
    let expect =
        |name: &str, shape: &[usize], expected: &[usize]| expect(input, name, shape, expected);
    expect("u", &input.u.dims(), &[b, vertices, l, d]);
    expect("delta", &input.delta.dims(), &[b, v, l, d]);
    expect("a", &input.a.dims(), &[d, n]);
    expect("b", &input.b.dims(), &[b, v, l, n]);
    expect("c", &input.c.dims(), &[b, v, l, n]);
    if let Some(skip) = &input.d {
        expect("d", &skip.dims(), &[d]);
    }
    if let Some(state) = &input.initial_state {
        expect("initial_state", &state.dims(), &[b, v, d, n]);
    }
}

fn expect(input: &ScanInput, name: &str, shape: &[usize], expected: &[usize]) {
    assert!(
        shape == expected,
        "graph_scan: {name} is {shape:?}, expected {expected:?} with u (b, v, l, d) = {:?} and n = {}",
        input.u.dims(),
        input.a.dims()[1]
    );
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn the_cpu_has_kernels_with_and_without_gradients() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            assert!(is_cpu(&device));
            assert!(has_kernel(&device, DType::F32) && has_kernel(&device, DType::F64));
        }
    }

    /// Every gradient but that of P, with a P that has one or has none.
    fn gradients(device: &Device, sizes: [usize; 5], steps: usize, p_gradient: bool) -> Vec<f32> {
        let device = device.clone().autodiff();
        let [b, v, l, d, n] = sizes;
        let wave = |shape: &[usize], scale: f32| {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count)
                .map(|i| ((i * 37 + shape.len()) % 101) as f32 / 101.0 * scale)
                .collect();
            TensorData::new(values, shape.to_vec())
        };
        let four = |shape: [usize; 4], scale| {
            Tensor::<4>::from_data(wave(&shape, scale), &device).require_grad()
        };
        let two = |scale| Tensor::<2>::from_data(wave(&[n, n], scale), &device).require_grad();
        let (u, delta) = (four([b, v, l, d], 1.0), four([b, v, l, d], 0.5));
        let (c_in, skip) = (four([b, v, l, n], 0.7), wave(&[d], 1.0));
        let skip = Tensor::<1>::from_data(skip, &device).require_grad();
        let a = Tensor::<2>::from_data(wave(&[d, n], 1.0), &device).require_grad();
        let (b_in, state) = (four([b, v, l, n], 1.0), four([b, v, d, n], 0.3));
        let p = Tensor::<4>::from_data(wave(&[1, steps, v, v], 1.0 / v as f32), &device);
        let p = if p_gradient { p.require_grad() } else { p };
        let (root, rel) = (two(0.2), two(0.1));
        let input = ScanInput {
            u: u.clone(),
            delta: delta.clone() + 0.1,
            a: a.clone().neg() - 0.1,
            b: b_in.clone(),
            c: c_in.clone(),
            d: Some(skip.clone()),
            initial_state: Some(state.clone()),
        };
        let mixing = GraphMixing {
            p: p.clone(),
            a_root: Some(root.clone()),
            a_rel: rel.clone(),
            c_root: Some(root.clone()),
            c_rel: rel.clone(),
        };
        let grads = graph_scan(input, mixing).y.square().sum().backward();
        assert_eq!(p.grad(&grads).is_some(), p_gradient);
        let four = [u, delta, b_in, c_in, state].map(|t| t.grad(&grads).unwrap().into_data());
        let two = [a, root, rel].map(|t| t.grad(&grads).unwrap().into_data());
        let skip = skip.grad(&grads).unwrap().into_data();
        let all = four.iter().chain(&two).chain([&skip]);
        all.flat_map(|data| data.iter::<f32>()).collect()
    }

    fn check_constant_graph(device: &Device) {
        for (sizes, steps) in [
            ([2, 3, 5, 4, 4], 1),
            ([2, 3, 40, 4, 4], 40),
            ([1, 70, 3, 2, 4], 1),
            ([1, 70, 3, 2, 4], 3),
        ] {
            let with = gradients(device, sizes, steps, true);
            assert_eq!(with, gradients(device, sizes, steps, false), "{sizes:?}");
        }
    }

    #[test]
    fn a_constant_graph_changes_no_other_gradient() {
        check_constant_graph(&Device::flex());
    }

    #[cfg(feature = "wgpu")]
    #[test]
    #[ignore = "needs a GPU or Mesa's software Vulkan"]
    fn a_constant_graph_changes_no_other_gradient_on_a_gpu() {
        check_constant_graph(&Device::wgpu(Default::default()));
    }

    #[test]
    fn checkpoints_grow_with_the_square_root() {
        assert_eq!(checkpoint_distance(1), 1);
        assert_eq!(checkpoint_distance(32), 1);
        for l in [33, 1000, 100_000] {
            let every = checkpoint_distance(l);
            assert!(every + l.div_ceil(every) <= 2 * ((l as f64).sqrt().ceil() as usize) + 1);
        }
    }
}
