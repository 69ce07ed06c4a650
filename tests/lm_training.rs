//! Learning language models as PyTorch does: the same weights and batches, the same losses.

mod common;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Fixture, fixtures};
use tgmamba::lm::checkpoint;
use tgmamba::lm::training::next_token_loss;
use tgmamba::models::language_model::is_exempt_from_decay;
use tgmamba::ops::dense::set_autocast;
use tgmamba::training::config::TrainingConfig;
use tgmamba::training::optimizer::Adam;

/// Losses of the first steps of a fixture, ours and PyTorch's.
fn losses(name: &str, steps: usize) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open(&format!("language_models/training/{name}/expected"));
    let folder = fixtures().join("language_models/training").join(name);
    let loaded = checkpoint::load(&folder, None, &Device::flex()).unwrap();
    let mut model = loaded.model.train();
    let config = TrainingConfig {
        weight_decay: 0.1,
        beta2: 0.95,
        ..TrainingConfig::default()
    };
    let mut optimizer = Adam::new(&config, &model, is_exempt_from_decay);
    let wanted = &fixture.arrays["losses"].values;
    let batches = &fixture.integers["batches"];
    let size = batches.len() / wanted.len();
    let mut found = Vec::new();
    for step in 0..steps {
        let ids: Vec<i32> = batches[step * size..][..size]
            .iter()
            .map(|id| *id as i32)
            .collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [4, size / 4]), &device);
        let loss = next_token_loss(&model, ids);
        found.push(loss.clone().into_scalar::<f32>());
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let rate = f64::from(fixture.arrays["rates"].values[step]);
        model = optimizer.step(rate, model, grads);
    }
    (found, wanted[..steps].to_vec())
}

#[test]
fn losses_are_those_of_pytorch() {
    exact();
    // The setting is the whole process's: not beside the other.
    half();
}

fn exact() {
    for name in ["mamba", "mamba2"] {
        let (found, wanted) = losses(name, 50);
        let pairs = found.iter().zip(&wanted);
        let apart = pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
        println!(
            "{name}: {:.3} -> {:.3}, apart {apart:.1e}",
            found[0], found[49]
        );
        assert!(apart <= 1e-3, "{name}: {apart:e}");
        assert!(
            found[49] < found[0] - 1.0,
            "{name}: {} -> {}",
            found[0],
            found[49]
        );
    }
}

fn half() {
    set_autocast(true);
    let (found, wanted) = losses("mamba", 30);
    set_autocast(false);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 0.1, "{found} {wanted}");
    }
    assert_ne!(found[0], wanted[0]);
}
