//! Classification losses from logits.

use burn::tensor::{
    Device, Tensor, TensorData,
    activation::{log_softmax, relu, softplus},
};

/// Mean loss over a batch, weighted by class: binary cross-entropy for one logit, cross-entropy
/// for several.
///
/// With target y, class weights w and label smoothing ε over c classes:
///
/// ```text
/// c logits: Σ_i Σ_k -w_k q_ik ln softmax(x_i)_k / Σ_i w_{y_i},   q_ik = (1-ε) [k = y_i] + ε/c
/// 1 logit:  Σ_i w_{y_i} (relu(x_i) - x_i t_i + ln(1 + e^-|x_i|)) / Σ_i w_{y_i},
///           t_i = (1-ε) y_i + ε/2
/// ```
///
/// as PyTorch's `cross_entropy` and `binary_cross_entropy_with_logits` define them, except that
/// the weighted binary loss is divided by the sum of its weights as well.
pub fn classification_loss(
    logits: Tensor<2>,
    targets: &[usize],
    weights: Option<&[f32]>,
    smoothing: f64,
) -> Tensor<1> {
    let [b, c] = logits.dims();
    let device = logits.device().inner();
    let weight = |k: usize| weights.map_or(1.0, |w| w[k]);
    let total: f64 = targets.iter().map(|&y| f64::from(weight(y))).sum();
    let smoothing = smoothing as f32;
    if c == 1 {
        let t = targets
            .iter()
            .map(|&y| (1.0 - smoothing) * y as f32 + smoothing / 2.0)
            .collect();
        let w = targets.iter().map(|&y| weight(y)).collect();
        let (t, w) = (constant(t, [b, 1], &device), constant(w, [b, 1], &device));
        let (t, w) = (like(t, &logits), like(w, &logits));
        let x = logits;
        let loss = relu(x.clone()) - x.clone() * t + softplus(x.abs().neg(), 1.0);
        (loss * w).sum() / total
    } else {
        let q = targets
            .iter()
            .flat_map(|&y| {
                (0..c).map(move |k| {
                    let hit = if k == y { 1.0 - smoothing } else { 0.0 };
                    weight(k) * (hit + smoothing / c as f32)
                })
            })
            .collect();
        let q = like(constant(q, [b, c], &device), &logits);
        (log_softmax(logits, 1) * q).sum() / -total
    }
}

fn constant(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Lifts a constant to the (autodiff) device of `of`.
fn like(constant: Tensor<2>, of: &Tensor<2>) -> Tensor<2> {
    if of.device().is_autodiff() {
        constant.to_device(&of.device())
    } else {
        constant
    }
}

/// Class probabilities from rows of `c` logits, in f64, row-major: two columns for one logit.
pub fn probabilities(logits: &[f32], c: usize) -> Vec<f64> {
    logits
        .chunks(c)
        .flat_map(|row| {
            if c == 1 {
                let p = 1.0 / (1.0 + (-f64::from(row[0])).exp());
                return vec![1.0 - p, p];
            }
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f64> = row.iter().map(|x| f64::from(x - max).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.into_iter().map(|x| x / sum).collect::<Vec<f64>>()
        })
        .collect()
}
