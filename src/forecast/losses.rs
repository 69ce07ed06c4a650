//! Losses over the targets that were observed, in scaled units.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Loss of a point forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// |e|.
    #[default]
    Mae,
    /// e².
    Mse,
    /// e² / 2 up to |e| = δ, then δ (|e| - δ/2).
    Huber,
}

/// `Σ m ℓ(ŷ - y) / max(Σ m, 1)` of a forecast ŷ, targets y and mask m, all (b, v, h, k); 0 where
/// nothing was observed.
///
/// # Panics
/// If the shapes differ.
pub fn masked(
    kind: LossKind,
    delta: f64,
    forecast: Tensor<4>,
    y: Tensor<4>,
    mask: Tensor<4>,
) -> Tensor<1> {
    let e = forecast - y;
    let loss = match kind {
        LossKind::Mae => e.abs(),
        LossKind::Mse => e.square(),
        LossKind::Huber => {
            let abs = e.abs();
            let near = abs.clone().clamp_max(delta);
            // near² / 2 + δ (|e| - near): the second term is zero up to δ.
            near.clone().square() / 2.0 + (abs - near) * delta
        }
    };
    mean(loss, mask)
}

/// Pinball loss `max(τ e, (τ - 1) e)`, e = y - q, averaged over the quantiles q of levels τ and over
/// what was observed. quantiles (b, v, h, k·q) with the levels innermost, y and mask (b, v, h, k).
///
/// Source: Koenker & Bassett, "Regression Quantiles", Econometrica 46 (1978).
///
/// # Panics
/// If the shapes do not fit.
pub fn pinball(levels: &[f64], quantiles: Tensor<4>, y: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
    let [b, v, h, k] = y.dims();
    let q = levels.len();
    let device = y.device();
    let tau: Vec<f32> = levels.iter().map(|t| *t as f32).collect();
    let tau = Tensor::<1>::from_floats(tau.as_slice(), &device).reshape([1, 1, q]);
    let y = y.reshape([b * v * h, k, 1]);
    let mask = mask.reshape([b * v * h, k, 1]);
    let e = y - quantiles.reshape([b * v * h, k, q]);
    // max(τ e, (τ - 1) e) = τ e + max(0, -e).
    let loss = e.clone() * tau + e.neg().clamp_min(0.0);
    let loss: Tensor<3> = loss.mean_dim(2);
    mean(loss, mask)
}

fn mean<const D: usize>(loss: Tensor<D>, mask: Tensor<D>) -> Tensor<1> {
    let n = mask.clone().sum().clamp_min(1.0);
    (loss * mask).sum() / n
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn row(values: [f32; 3]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 3, 1])
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar()
    }

    /// Errors 0.5, -3 and one that is not observed.
    #[test]
    fn by_hand() {
        let loss = |kind, mask| {
            value(masked(
                kind,
                1.0,
                row([1.5, -1.0, 9.0]),
                row([1.0, 2.0, 0.0]),
                row(mask),
            ))
        };
        let mask = [1.0, 1.0, 0.0];
        assert_eq!(loss(LossKind::Mae, mask), 1.75);
        assert_eq!(loss(LossKind::Mse, mask), 4.625);
        // 0.125 and 1 · (3 - 0.5).
        assert_eq!(loss(LossKind::Huber, mask), 1.3125);
        for kind in [LossKind::Mae, LossKind::Mse, LossKind::Huber] {
            assert_eq!(loss(kind, [0.0; 3]), 0.0, "nothing observed");
        }
    }

    #[test]
    fn pinball_by_hand() {
        let quantiles = Tensor::<1>::from_floats([0.0, 2.0, 5.0, 6.0, 7.0, 8.0], &Device::flex());
        let loss = pinball(
            &[0.1, 0.9],
            quantiles.reshape([1, 1, 3, 2]),
            row([1.0, 4.0, 0.0]),
            row([1.0, 1.0, 0.0]),
        );
        // y = 1: 0.1·1 and 0.1·1; y = 4: 0.9·1 and 0.1·2.
        let expected = (0.1 + 0.1 + 0.9 + 0.2) / 4.0;
        assert!((value(loss) - expected).abs() < 1e-6);
    }
}
