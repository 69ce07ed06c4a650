//! Classification losses from logits.

use burn::tensor::{
    Tensor, TensorData,
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
    let [_, c] = logits.dims();
    let (shares, shape) = target_shares(targets, c, weights, smoothing);
    let device = logits.device();
    let shares = Tensor::from_data(TensorData::new(shares, shape), &device);
    loss_from_shares(logits, shares)
}

/// What [`loss_from_shares`] takes of the targets y, row-major, and its shape: w_k q_ik / Σ w, (b, c),
/// or, for one logit, t_i and w_i / Σ w, (b, 2).
pub fn target_shares(
    targets: &[usize],
    c: usize,
    weights: Option<&[f32]>,
    smoothing: f64,
) -> (Vec<f32>, [usize; 2]) {
    let weight = |k: usize| weights.map_or(1.0, |w| f64::from(w[k]));
    let total: f64 = targets.iter().map(|&y| weight(y)).sum();
    if c == 1 {
        let row = |&y: &usize| {
            let t = (1.0 - smoothing) * y as f64 + smoothing / 2.0;
            [t as f32, (weight(y) / total) as f32]
        };
        return (targets.iter().flat_map(row).collect(), [targets.len(), 2]);
    }
    let row = |&y: &usize| {
        (0..c).map(move |k| {
            let hit = if k == y { 1.0 - smoothing } else { 0.0 };
            (weight(k) * (hit + smoothing / c as f64) / total) as f32
        })
    };
    (targets.iter().flat_map(row).collect(), [targets.len(), c])
}

/// [`classification_loss`] of logits, (b, c), and what [`target_shares`] gives.
pub fn loss_from_shares(logits: Tensor<2>, shares: Tensor<2>) -> Tensor<1> {
    let [_, c] = logits.dims();
    if c == 1 {
        let (t, w) = (shares.clone().narrow(1, 0, 1), shares.narrow(1, 1, 1));
        let x = logits;
        let loss = relu(x.clone()) - x.clone() * t + softplus(x.abs().neg(), 1.0);
        (loss * w).sum()
    } else {
        (log_softmax(logits, 1) * shares).sum().neg()
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
