//! DLinear: a linear map of the trend of the history and one of what is left.
//!
//! ```text
//! trend_t = mean of x_{t-r}, ..., x_{t+r}, ends repeated     r = ⌊width / 2⌋
//! ŷ = W_s (x - trend) + W_t trend + b                        W: (h, l)
//! ```
//!
//! Source: Zeng et al., "Are Transformers Effective for Time Series Forecasting?"
//! (arXiv:2205.13504), §4.2; width 25 there, the largest odd number up to l here where that is
//! less. Weights are shared by the nodes, or each node has its own.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::ops::matmul::matmul;

/// Width of the moving average.
const WIDTH: usize = 25;

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct LinearForecaster {
    /// W_s, (1 or v, l, h·q).
    pub rest: Param<Tensor<3>>,
    /// W_t, (1 or v, l, h·q).
    pub trend: Param<Tensor<3>>,
    /// b, (1 or v, 1, h·q).
    pub bias: Param<Tensor<3>>,
    #[module(skip)]
    sizes: Sizes,
}

impl LinearForecaster {
    /// Weights of 1/l, as the authors start them; zeros with an anchor.
    pub fn new(config: &ForecastConfig, sizes: Sizes, device: &Device) -> Self {
        let rows = if config.per_node { sizes.nodes } else { 1 };
        let o = sizes.horizon * sizes.outputs;
        let start = if config.anchor {
            0.0
        } else {
            1.0 / sizes.history as f64
        };
        let weight =
            || Initializer::Constant { value: start }.init([rows, sizes.history, o], device);
        Self {
            rest: weight(),
            trend: weight(),
            bias: Initializer::Zeros.init([rows, 1, o], device),
            sizes,
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let Sizes {
            nodes: v,
            history: l,
            horizon: h,
            targets: k,
            outputs: q,
            ..
        } = self.sizes;
        let b = input.x.dims()[0];
        let device = input.x.device();
        let x = input.x.narrow(3, 0, k);
        let average = Tensor::<2>::from_data(TensorData::new(moving_average(l), [l, l]), &device);
        let rows = self.bias.dims()[0];
        // (rows, .., l): one group of sequences for each set of weights.
        let x: Tensor<3> = match rows {
            1 => x.swap_dims(2, 3).reshape([1, b * v * k, l]),
            _ => x.permute([1, 0, 3, 2]).reshape([v, b * k, l]),
        };
        let trend = matmul(x.clone(), average.unsqueeze::<3>().expand([rows, l, l]));
        let y = matmul(x - trend.clone(), self.rest.val())
            + matmul(trend, self.trend.val())
            + self.bias.val();
        let y: Tensor<5> = match rows {
            1 => y.reshape([b, v, k, h, q]),
            _ => y.reshape([v, b, k, h, q]).swap_dims(0, 1),
        };
        y.swap_dims(2, 3).reshape([b, v, h * k * q])
    }
}

/// The matrix M with (x M)_t = the moving average at t; row-major (l, l).
fn moving_average(l: usize) -> Vec<f32> {
    let width = if l >= WIDTH { WIDTH } else { l - (l + 1) % 2 };
    let reach = (width / 2) as isize;
    let mut m = vec![0.0; l * l];
    for t in 0..l {
        for off in -reach..=reach {
            let s = (t as isize + off).clamp(0, l as isize - 1) as usize;
            m[s * l + t] += 1.0 / width as f32;
        }
    }
    m
}
