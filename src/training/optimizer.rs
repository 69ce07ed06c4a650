//! Adam and AdamW with parameter groups, and clipping by the norm of the whole gradient.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::backend::GradientCheckpointingStrategy;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::{OptimizerKind, TrainingConfig};
use crate::nn::state_dict::param_ids;
use crate::ops::adam::{AdamStep, Moments, adam, add_squares};
use crate::ops::overwrite::copied;

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
///
/// On a GPU a step writes into the memory of the parameters.
#[derive(Debug)]
pub struct Adam {
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    decoupled: bool,
    clip_norm: f64,
    exempt: HashSet<ParamId>,
    moments: HashMap<ParamId, [Tensor<1>; 2]>,
    steps: usize,
}

/// Moments of a parameter, row-major.
pub type HostMoments = [Vec<f32>; 2];

impl Adam {
    /// The optimiser of a module; no weight decay for the parameters that `exempt` names.
    pub fn new<M: Module>(
        config: &TrainingConfig,
        module: &M,
        exempt: impl Fn(&str) -> bool,
    ) -> Self {
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            weight_decay: config.weight_decay,
            decoupled: config.optimizer == OptimizerKind::AdamW,
            clip_norm: config.clip_norm,
            exempt: param_ids(module)
                .into_iter()
                .filter(|(name, _)| exempt(name))
                .map(|(_, id)| ParamId::from(id))
                .collect(),
            moments: HashMap::new(),
            steps: 0,
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Counts a step that [`apply`](Self::apply) took, or a recording of it.
    pub fn count_step(&mut self) {
        self.steps += 1;
    }

    /// Learning rate and bias corrections of the next step, as [`apply`](Self::apply) reads them.
    pub fn course(&self, rate: f64) -> [f32; 3] {
        let power = i32::try_from(self.steps + 1).unwrap_or(i32::MAX);
        let correction = |beta: f64| (1.0 - beta.powi(power)) as f32;
        [rate as f32, correction(self.beta1), correction(self.beta2)]
    }

    /// One step at a learning rate.
    pub fn step<M: Module>(&mut self, rate: f64, module: M, grads: GradientsParams) -> M {
        let Some(device) = module.devices().into_iter().next() else {
            return module;
        };
        let course = Tensor::from_floats(self.course(rate), &device.inner());
        let module = self.apply(module, grads, course);
        self.count_step();
        module
    }

    /// Clips the gradients and takes the step that `course`, (3), gives: everything a step does on
    /// the device.
    pub fn apply<M: Module>(
        &mut self,
        module: M,
        mut grads: GradientsParams,
        course: Tensor<1>,
    ) -> M {
        let factor = match self.clip_norm > 0.0 {
            true => clipping(&module, &grads, self.clip_norm),
            false => None,
        };
        let factor = factor.unwrap_or_else(|| Tensor::ones([1], &course.device()));
        module.map(&mut Stepper {
            adam: self,
            grads: &mut grads,
            factor,
            course,
        })
    }

    /// Moments of the parameters that have any, by name.
    pub fn moments<M: Module>(&self, module: &M) -> BTreeMap<String, HostMoments> {
        let values = |t: &Tensor<1>| t.clone().into_data().iter::<f32>().collect();
        param_ids(module)
            .into_iter()
            .filter_map(|(name, id)| {
                let [first, second] = self.moments.get(&ParamId::from(id))?;
                Some((name, [values(first), values(second)]))
            })
            .collect()
    }

    /// Goes on from what [`steps`](Self::steps) and [`moments`](Self::moments) gave.
    pub fn restore<M: Module>(
        &mut self,
        steps: usize,
        mut moments: BTreeMap<String, HostMoments>,
        module: &M,
        device: &Device,
    ) {
        self.steps = steps;
        self.moments = param_ids(module)
            .into_iter()
            .filter_map(|(name, id)| {
                let found = moments.remove(&name)?.map(|values| {
                    let count = values.len();
                    Tensor::from_data(TensorData::new(values, [count]), device)
                });
                Some((ParamId::from(id), found))
            })
            .collect();
    }

    fn numbers(&self, id: ParamId) -> AdamStep {
        let decay = match self.exempt.contains(&id) {
            true => 0.0,
            false => self.weight_decay as f32,
        };
        AdamStep {
            decay: if self.decoupled { decay } else { 0.0 },
            penalty: if self.decoupled { 0.0 } else { decay },
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: EPSILON,
        }
    }
}

struct Stepper<'a> {
    adam: &'a mut Adam,
    grads: &'a mut GradientsParams,
    factor: Tensor<1>,
    course: Tensor<1>,
}

impl ModuleMapper for Stepper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(grad) = self.grads.remove::<D>(id) else {
            return param;
        };
        let numbers = self.adam.numbers(id);
        param.map(|tensor| {
            let strategy = tensor.gradient_checkpointing_strategy();
            let value = tensor.inner();
            let shape = value.dims();
            let count = shape.iter().product::<usize>();
            let [first, second] = self.adam.moments.remove(&id).unwrap_or_else(|| {
                [(); 2].map(|()| Tensor::zeros([count], (&value.device(), value.dtype())))
            });
            let moments = Moments {
                value: value.reshape([count]),
                first,
                second,
            };
            let (factor, course) = (self.factor.clone(), self.course.clone());
            let new = adam(moments, grad.reshape([count]), factor, course, numbers);
            self.adam.moments.insert(id, [new.first, new.second]);
            tracked(new.value.reshape(shape), strategy).require_grad()
        })
    }
}

/// The module with parameters in memory that nobody else holds: steps may write into it.
pub fn own_memory<M: Module>(module: M) -> M {
    module.map(&mut Copier)
}

struct Copier;

impl ModuleMapper for Copier {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let grads = tensor.is_require_grad();
            let strategy = tensor.gradient_checkpointing_strategy();
            let copy = tracked(copied(tensor.inner()), strategy);
            match grads {
                true => copy.require_grad(),
                false => copy,
            }
        })
    }
}

/// A value on the autodiff device it came from.
fn tracked<const D: usize>(
    value: Tensor<D>,
    strategy: Option<GradientCheckpointingStrategy>,
) -> Tensor<D> {
    let value = Tensor::from_inner(value);
    match strategy {
        Some(strategy) => value.with_gradient_checkpointing_strategy(strategy),
        None => value,
    }
}

/// What scales all gradients to a norm of at most `max_norm`: `min(1, max_norm / (‖g‖₂ + 1e-6))`,
/// (1), the norm over every parameter, as PyTorch's `clip_grad_norm_`. None without gradients.
pub fn clipping<M: Module>(
    module: &M,
    grads: &GradientsParams,
    max_norm: f64,
) -> Option<Tensor<1>> {
    let mut norm = SquaredNorm { grads, sum: None };
    module.visit(&mut norm);
    let sum = norm.sum?;
    Some(((sum.sqrt() + 1e-6).recip() * max_norm).clamp_max(1.0))
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
