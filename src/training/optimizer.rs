//! Adam and AdamW with parameter groups, and clipping by the norm of the whole gradient.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{
    AdamWState, AdaptiveMomentumState, GradientsParams, LearningRate, ModuleOptimizer, Optimizer,
};
use burn::tensor::{Device, Tensor};

use super::config::{OptimizerKind, TrainingConfig};
use crate::nn::state_dict::param_ids;
use crate::ops::adam::{AdamStep, Moments, adam, add_squares};

/// Added to the root of the second moment.
const EPSILON: f32 = 1e-8;

/// Whether weight decay leaves a parameter alone: A_log, D, the bias of Δ, norm weights, the
/// poles and steps of a diagonal state space, and the gate of a learned graph.
pub fn is_exempt_from_decay(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or("");
    let owner = parts.next().unwrap_or("");
    matches!(
        (owner, last),
        (
            _,
            "A_log" | "D" | "dt_bias" | "log_dt" | "log_decay" | "frequency"
        ) | ("dt_proj", "bias")
            | ("norm", "weight")
            | ("adaptive", "gate")
    )
}

/// Adam, or AdamW with decoupled decay, a step as one pass over each parameter.
#[derive(Debug, Clone)]
struct FusedAdam {
    beta1: f64,
    beta2: f64,
    /// Decoupled decay.
    decay: f64,
    /// Penalty that goes through the moments.
    penalty: f32,
}

impl Optimizer for FusedAdam {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let zeros = || tensor.zeros_like();
        let (time, first, second) = match state.map(|s| s.momentum) {
            Some(m) => (m.time + 1, m.moment_1, m.moment_2),
            None => (1, zeros(), zeros()),
        };
        let power = i32::try_from(time).unwrap_or(i32::MAX);
        let step = AdamStep {
            rate: lr as f32,
            decay: (lr * self.decay) as f32,
            penalty: self.penalty,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: EPSILON,
            correction1: (1.0 - self.beta1.powi(power)) as f32,
            correction2: (1.0 - self.beta2.powi(power)) as f32,
        };
        let moments = Moments {
            value: tensor,
            first,
            second,
        };
        let new = adam(moments, grad, step);
        let state = AdaptiveMomentumState::new(time, new.first, new.second);
        (new.value, Some(AdamWState::new(state)))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// The optimiser of a module: one group with weight decay, and one without, of the parameters that
/// `exempt` names.
pub fn build<M: Module>(
    config: &TrainingConfig,
    module: &M,
    exempt: impl Fn(&str) -> bool,
) -> ModuleOptimizer {
    let exempt: Vec<ParamId> = param_ids(module)
        .into_iter()
        .filter(|(name, _)| exempt(name))
        .map(|(_, id)| ParamId::from(id))
        .collect();
    let adam = |decay: f64| {
        let decoupled = config.optimizer == OptimizerKind::AdamW;
        FusedAdam {
            beta1: config.beta1,
            beta2: config.beta2,
            decay: if decoupled { decay } else { 0.0 },
            penalty: if decoupled { 0.0 } else { decay as f32 },
        }
    };
    ModuleOptimizer::from(adam(config.weight_decay)).with_group(
        ParamGroup::from_ids(exempt),
        adam(0.0),
        None,
    )
}

/// Scales all gradients by `min(1, max_norm / (‖g‖₂ + 1e-6))`, the norm over every parameter, as
/// PyTorch's `clip_grad_norm_`.
pub fn clip_by_global_norm<M: Module>(
    module: &M,
    mut grads: GradientsParams,
    max_norm: f64,
) -> GradientsParams {
    let mut norm = SquaredNorm {
        grads: &grads,
        sum: None,
    };
    module.visit(&mut norm);
    let Some(sum) = norm.sum else {
        return grads;
    };
    let scale = ((sum.sqrt() + 1e-6).recip() * max_norm).clamp_max(1.0);
    let mut scaler = Scaler {
        grads: &mut grads,
        scale,
    };
    module.visit(&mut scaler);
    grads
}

struct SquaredNorm<'a> {
    grads: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let sum = self
                .sum
                .take()
                .unwrap_or_else(|| Tensor::zeros([1], &grad.device()));
            self.sum = Some(add_squares(sum, grad));
        }
    }
}

struct Scaler<'a> {
    grads: &'a mut GradientsParams,
    scale: Tensor<1>,
}

impl ModuleVisitor for Scaler<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            let scaled = grad * self.scale.clone().reshape([1; D]);
            self.grads.register::<D>(param.id, scaled);
        }
    }
}
