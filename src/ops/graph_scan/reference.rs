//! The scan in plain tensor operations, a loop over time: runs on every device and is the oracle
//! of faster versions.

use burn::tensor::Tensor;

use super::{GraphMixing, ScanInput, ScanOutput};

/// Cuts the time axis (2) into single steps, (b, v, l, c) -> l × (b, v, c).
///
/// By halves: the gradient of a slice is a zero tensor of the size of its source, so that cutting
/// step after step from the whole would cost O(l²) in the backward pass; this costs O(l log l).
pub fn time_steps(x: Tensor<4>) -> Vec<Tensor<3>> {
    fn halve(x: Tensor<4>, out: &mut Vec<Tensor<3>>) {
        let l = x.dims()[2];
        if l == 1 {
            out.push(x.squeeze_dim(2));
        } else {
            let half = l / 2;
            halve(x.clone().narrow(2, 0, half), out);
            halve(x.narrow(2, half, l - half), out);
        }
    }
    let mut out = Vec::with_capacity(x.dims()[2]);
    halve(x, &mut out);
    out
}

/// Steps of a matrix that may be constant in time: (b, l or 1, v, w) -> 1 or l × (b, v, w).
pub fn matrix_steps(p: Tensor<4>) -> Vec<Tensor<3>> {
    time_steps(p.swap_dims(1, 2))
        .into_iter()
        .map(|step| {
            let [b, v, w] = step.dims();
            step.reshape([b, v, w])
        })
        .collect()
}

/// The scan with linear graph convolutions, folded as described in the module above.
pub fn graph_scan(input: ScanInput, mixing: GraphMixing) -> ScanOutput {
    let (p, weights) = mixing.into_parts();
    let p = matrix_steps(p);
    let constant = p.len() == 1;
    let propagate = |t: usize, h: Tensor<3>| p[if constant { 0 } else { t }].clone().matmul(h);
    linear_scan(input, weights, constant, propagate, Tensor::matmul)
}

/// W_root and W_rel of gconv_A and gconv_C, (n, n) each; an absent W_root is zero.
#[derive(Debug, Clone)]
pub struct StateWeights {
    pub a_root: Option<Tensor<2>>,
    pub a_rel: Tensor<2>,
    pub c_root: Option<Tensor<2>>,
    pub c_rel: Tensor<2>,
}

/// The scan with `propagate(t, H) -> P_t H` for H (b, v, d·n); where P is `constant` the product
/// of a state serves both convolutions that need it. `matmul` multiplies by the weights.
pub fn linear_scan(
    input: ScanInput,
    mixing: StateWeights,
    constant: bool,
    propagate: impl Fn(usize, Tensor<3>) -> Tensor<3>,
    matmul: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
) -> ScanOutput {
    let [b, v, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    let fold = |w: Tensor<2>| {
        time_steps(
            matmul(input.c.clone().reshape([b * v * l, n]), w.transpose()).reshape([b, v, l, n]),
        )
    };
    let c_root = mixing.c_root.map(fold);
    let c_rel = fold(mixing.c_rel);

    let u = time_steps(input.u.clone());
    let delta = time_steps(input.delta);
    let b_in = time_steps(input.b);
    let a = input.a.reshape([1, 1, d, n]);

    let propagate = |t: usize, h: &Tensor<4>| {
        propagate(t, h.clone().reshape([b, v, d * n])).reshape([b, v, d, n])
    };
    let mix = |h: &Tensor<4>, ph: Tensor<4>| {
        let rel = matmul(ph.reshape([b * v * d, n]), mixing.a_rel.clone());
        match &mixing.a_root {
            Some(root) => matmul(h.clone().reshape([b * v * d, n]), root.clone()) + rel,
            None => rel,
        }
        .reshape([b, v, d, n])
    };

    // The zero state needs no mixing: the first step starts from its input alone.
    let mut state = input.initial_state;
    let mut shared: Option<Tensor<4>> = None;
    let mut y = Vec::with_capacity(l);
    for t in 0..l {
        let du = (delta[t].clone() * u[t].clone()).unsqueeze_dim::<4>(3);
        let drive = du * b_in[t].clone().unsqueeze_dim::<4>(2);
        let h = match state {
            None => drive,
            Some(h) => {
                let ph = shared.take().unwrap_or_else(|| propagate(t, &h));
                let decay = (delta[t].clone().unsqueeze_dim::<4>(3) * a.clone()).exp();
                decay * mix(&h, ph) + drive
            }
        };
        let ph = propagate(t, &h);
        let mut read = ph.clone() * c_rel[t].clone().unsqueeze_dim::<4>(2);
        if let Some(c_root) = &c_root {
            read = read + h.clone() * c_root[t].clone().unsqueeze_dim::<4>(2);
        }
        y.push(read.sum_dim(3).squeeze_dim::<3>(3).unsqueeze_dim::<4>(2));
        if constant {
            shared = Some(ph);
        }
        state = Some(h);
    }
    finish(y, state, input.u, input.d)
}

/// The scan with any state mixing: `mix(t, h_{t-1})` stands for gconv_A, and
/// `read(t, h_t, C_t) -> (b, v, d)` for Σ_n gconv_C(h_t) C_t. Needed where the mixing is not
/// linear in the state (attention over neighbours).
pub fn scan_with(
    input: ScanInput,
    mix: impl Fn(usize, Tensor<4>) -> Tensor<4>,
    read: impl Fn(usize, Tensor<4>, Tensor<3>) -> Tensor<3>,
) -> ScanOutput {
    let [_, _, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    let u = time_steps(input.u.clone());
    let delta = time_steps(input.delta);
    let b_in = time_steps(input.b);
    let c = time_steps(input.c);
    let a = input.a.reshape([1, 1, d, n]);

    let mut state = input.initial_state;
    let mut y = Vec::with_capacity(l);
    for t in 0..l {
        let du = (delta[t].clone() * u[t].clone()).unsqueeze_dim::<4>(3);
        let drive = du * b_in[t].clone().unsqueeze_dim::<4>(2);
        let h = match state {
            None => drive,
            Some(h) => {
                let decay = (delta[t].clone().unsqueeze_dim::<4>(3) * a.clone()).exp();
                decay * mix(t, h) + drive
            }
        };
        y.push(read(t, h.clone(), c[t].clone()).unsqueeze_dim::<4>(2));
        state = Some(h);
    }
    finish(y, state, input.u, input.d)
}

/// Joins the steps and adds the skip D u.
fn finish(
    y: Vec<Tensor<4>>,
    state: Option<Tensor<4>>,
    u: Tensor<4>,
    d: Option<Tensor<1>>,
) -> ScanOutput {
    let y = Tensor::cat(y, 2);
    let y = match d {
        Some(d) => {
            let channels = d.dims()[0];
            y + u * d.reshape([1, 1, 1, channels])
        }
        None => y,
    };
    ScanOutput {
        y,
        state: state.expect("a scan has at least one step"),
    }
}
