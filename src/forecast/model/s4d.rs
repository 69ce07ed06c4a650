//! S4D: diagonal state spaces that do not depend on the input, along the history of each node.
//!
//! ```text
//! A_n = -exp(α_n) + i ω_n,   started at -1/2 + i π n      Δ > 0 for each channel
//! K_t = 2 Re Σ_n C_n (exp(Δ A_n) - 1) / A_n · exp(t Δ A_n)           (zero-order hold, B = 1)
//! y = K * u + D u,   x <- x + dropout(GLU(W gelu(y)))   on the RMS-normalised x
//! ```
//!
//! Source: Gu, Gupta, Goel & Ré, "On the Parameterization and Initialization of Diagonal State Space
//! Models" (arXiv:2206.11893): S4D-Lin, listing 1. d_state counts real numbers, so N/2 modes.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{
    Device, Distribution, Int, Tensor, TensorData,
    activation::{gelu, sigmoid},
};

use super::embedding::Inputs;
use super::output_layer;
use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::models::ModelConfig;
use crate::nn::{Dropout, linear, rms_norm};
use crate::ops::matmul::matmul;

/// A layer; see the module above. m channels, n modes each.
#[derive(Module, Debug)]
pub struct S4dLayer {
    /// ln Δ, (m).
    pub log_dt: Param<Tensor<1>>,
    /// α = ln(-Re A), (m, n).
    pub log_decay: Param<Tensor<2>>,
    /// ω = Im A, (m, n).
    pub frequency: Param<Tensor<2>>,
    /// Re C, (m, n).
    pub c_real: Param<Tensor<2>>,
    /// Im C, (m, n).
    pub c_imag: Param<Tensor<2>>,
    /// Skip D, (m).
    pub d_skip: Param<Tensor<1>>,
    pub out: Linear,
}

impl S4dLayer {
    /// S4D-Lin, Δ log-uniform in `dt_min..dt_max`, C complex normal, D = 1.
    pub fn new(m: usize, n: usize, (dt_min, dt_max): (f64, f64), device: &Device) -> Self {
        let normal = || {
            let half = Distribution::Normal(0.0, 0.5f64.sqrt());
            Param::from_tensor(Tensor::random([m, n], half, device))
        };
        let log_dt = Distribution::Uniform(dt_min.ln(), dt_max.ln());
        let frequency: Vec<f32> = (0..m)
            .flat_map(|_| (0..n).map(|i| std::f32::consts::PI * i as f32))
            .collect();
        Self {
            log_dt: Param::from_tensor(Tensor::random([m], log_dt, device)),
            log_decay: Param::from_tensor(Tensor::full([m, n], 0.5f32.ln(), device)),
            frequency: Param::from_tensor(Tensor::from_data(
                TensorData::new(frequency, [m, n]),
                device,
            )),
            c_real: normal(),
            c_imag: normal(),
            d_skip: Param::from_tensor(Tensor::ones([m], device)),
            out: LinearConfig::new(m, 2 * m).init(device),
        }
    }

    /// The convolution kernel K, (m, l).
    pub fn kernel(&self, l: usize) -> Tensor<2> {
        let [m, n] = self.log_decay.dims();
        let device = self.log_decay.val().device();
        let dt = self.log_dt.val().exp().reshape([m, 1]);
        let (re, im) = (self.log_decay.val().exp().neg(), self.frequency.val());
        let (step_re, step_im) = (re.clone() * dt.clone(), im.clone() * dt);
        // (exp(ΔA) - 1) / A, by the conjugate of A.
        let size = step_re.clone().exp();
        let (top_re, top_im) = (
            size.clone() * step_im.clone().cos() - 1.0,
            size * step_im.clone().sin(),
        );
        let square = re.clone().square() + im.clone().square();
        let b_re = (top_re.clone() * re.clone() + top_im.clone() * im.clone()) / square.clone();
        let b_im = (top_im * re - top_re * im) / square;
        let (c_re, c_im) = (self.c_real.val(), self.c_imag.val());
        let w_re = c_re.clone() * b_re.clone() - c_im.clone() * b_im.clone();
        let w_im = c_re * b_im + c_im * b_re;
        let times: Vec<f32> = (0..l).map(|t| t as f32).collect();
        let times = Tensor::<1>::from_floats(times.as_slice(), &device).reshape([1, 1, l]);
        let decay = (step_re.reshape([m, n, 1]) * times.clone()).exp();
        let angle = step_im.reshape([m, n, 1]) * times;
        let wave =
            w_re.reshape([m, n, 1]) * angle.clone().cos() - w_im.reshape([m, n, 1]) * angle.sin();
        (decay * wave).sum_dim(1).squeeze_dim::<2>(1) * 2.0
    }

    /// x + dropout(GLU(...)), x (n, l, m).
    fn forward(&self, x: Tensor<3>, dropout: &Dropout) -> Tensor<3> {
        let y = self.convolve(rms_norm(x.clone()));
        let out = linear(&self.out, gelu(y));
        let m = out.dims()[2] / 2;
        let gated = out.clone().narrow(2, 0, m) * sigmoid(out.narrow(2, m, m));
        x + dropout.forward(gated)
    }

    /// K * u + D u of u, (n, l, m).
    pub fn convolve(&self, u: Tensor<3>) -> Tensor<3> {
        let [_, l, m] = u.dims();
        let device = u.device();
        let kernel = self.kernel(l);
        let kernel = Tensor::cat(vec![kernel, Tensor::zeros([m, 1], &device)], 1);
        // Entry [s, t] is K_{t-s}, zero (the last column) where s is later than t.
        let lag: Vec<i32> = (0..l)
            .flat_map(|s| (0..l).map(move |t| if t >= s { t - s } else { l } as i32))
            .collect();
        let lag = Tensor::<1, Int>::from_data(TensorData::new(lag, [l * l]), &device);
        let toeplitz = kernel.select(1, lag).reshape([m, l, l]);
        let y = matmul(u.clone().permute([2, 0, 1]), toeplitz).permute([1, 2, 0]);
        y + u * self.d_skip.val().reshape([1, 1, m])
    }
}

/// The forecaster: identities as in the TGMamba forecaster, then S4D layers.
#[derive(Module, Debug)]
pub struct S4dForecaster {
    pub inputs: Inputs,
    pub layers: Vec<S4dLayer>,
    pub head: Linear,
    dropout: Dropout,
}

impl S4dForecaster {
    /// Random weights.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let modes = model.d_state.div_ceil(2);
        Self {
            inputs: Inputs::new(config, sizes, m, device),
            layers: (0..model.n_layers)
                .map(|_| S4dLayer::new(m, modes, (model.dt_min, model.dt_max), device))
                .collect(),
            head: output_layer(m, sizes, config.anchor, device),
            dropout: Dropout::new(model.dropout),
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let x = self.inputs.forward(&input);
        let [b, v, l, m] = x.dims();
        let mut x = x.reshape([b * v, l, m]);
        for layer in &self.layers {
            x = layer.forward(x, &self.dropout);
        }
        let last = rms_norm(x).narrow(1, l - 1, 1).reshape([b, v, m]);
        linear(&self.head, last)
    }
}
