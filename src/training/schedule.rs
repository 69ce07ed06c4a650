//! Learning rates as a function of the step alone, so that a resumed run needs no state for them.

use super::config::{ScheduleKind, TrainingConfig};

/// Learning rate at every step of a training run.
#[derive(Debug, Clone)]
pub struct Schedule {
    kind: ScheduleKind,
    peak: f64,
    floor: f64,
    warmup: f64,
    total: f64,
}

impl Schedule {
    /// For a run of `config.epochs` epochs with `steps_per_epoch` optimiser steps each.
    pub fn new(config: &TrainingConfig, steps_per_epoch: usize) -> Self {
        Self {
            kind: config.schedule,
            peak: config.lr,
            floor: config.lr * config.min_lr_ratio,
            warmup: (config.warmup_epochs * steps_per_epoch as f64).round(),
            total: (config.epochs * steps_per_epoch) as f64,
        }
    }

    /// Learning rate of step `step` (from 0): `peak (step + 1) / (warmup + 1)` during the warm-up,
    /// then `floor + (peak - floor) s(p)` with p from 0 to 1 over the remaining steps, where s is
    /// `(1 + cos πp) / 2`, `1 - p` or 1.
    pub fn lr(&self, step: usize) -> f64 {
        let step = step as f64;
        if step < self.warmup {
            return self.peak * (step + 1.0) / (self.warmup + 1.0);
        }
        let p = ((step - self.warmup) / (self.total - self.warmup).max(1.0)).min(1.0);
        let share = match self.kind {
            ScheduleKind::Cosine => (1.0 + (std::f64::consts::PI * p).cos()) / 2.0,
            ScheduleKind::Linear => 1.0 - p,
            ScheduleKind::Constant => 1.0,
        };
        self.floor + (self.peak - self.floor) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        let config = TrainingConfig {
            epochs: 10,
            lr: 1.0,
            min_lr_ratio: 0.01,
            warmup_epochs: 1.0,
            schedule: kind,
            ..TrainingConfig::default()
        };
        Schedule::new(&config, 4)
    }

    #[test]
    fn warms_up_linearly_then_falls_to_the_floor() {
        let s = schedule(ScheduleKind::Cosine);
        assert_eq!(s.lr(0), 0.2);
        assert_eq!(s.lr(3), 0.8);
        assert_eq!(s.lr(4), 1.0);
        assert!(
            (s.lr(22) - 0.505).abs() < 1e-12,
            "halfway between peak and floor"
        );
        assert!((s.lr(40) - 0.01).abs() < 1e-12);
        assert!((1..60).all(|i| i <= 4 || s.lr(i) <= s.lr(i - 1)));
    }

    #[test]
    fn linear_and_constant() {
        assert!((schedule(ScheduleKind::Linear).lr(22) - 0.505).abs() < 1e-12);
        assert_eq!(schedule(ScheduleKind::Constant).lr(39), 1.0);
    }
}
