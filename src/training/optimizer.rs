//! Adam and AdamW with parameter groups, and clipping by the norm of the whole gradient.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use super::config::{OptimizerKind, TrainingConfig};
use crate::nn::state_dict::param_ids;

/// Added to the root of the second moment.
const EPSILON: f32 = 1e-8;

/// Whether weight decay leaves a parameter alone: A_log, D, the bias of dt_proj, norm weights.
pub fn is_exempt_from_decay(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or("");
    let owner = parts.next().unwrap_or("");
    matches!(
        (owner, last),
        (_, "A_log" | "D") | ("dt_proj", "bias") | ("norm", "weight")
    )
}

/// The optimiser of a module: one group with weight decay, one without.
pub fn build<M: Module>(config: &TrainingConfig, module: &M) -> ModuleOptimizer {
    let exempt: Vec<ParamId> = param_ids(module)
        .into_iter()
        .filter(|(name, _)| is_exempt_from_decay(name))
        .map(|(_, id)| ParamId::from(id))
        .collect();
    let (beta1, beta2) = (config.beta1 as f32, config.beta2 as f32);
    let exempt = ParamGroup::from_ids(exempt);
    match config.optimizer {
        OptimizerKind::AdamW => {
            let adamw = |decay: f64| {
                AdamWConfig::new()
                    .with_beta_1(beta1)
                    .with_beta_2(beta2)
                    .with_epsilon(EPSILON)
                    .with_weight_decay(decay as f32)
                    .build()
            };
            ModuleOptimizer::from(adamw(config.weight_decay)).with_group(exempt, adamw(0.0), None)
        }
        OptimizerKind::Adam => {
            let adam = |decay: f64| {
                AdamConfig::new()
                    .with_beta_1(beta1)
                    .with_beta_2(beta2)
                    .with_epsilon(EPSILON)
                    .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)))
                    .build()
            };
            ModuleOptimizer::from(adam(config.weight_decay)).with_group(exempt, adam(0.0), None)
        }
    }
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
            let square = grad.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
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
