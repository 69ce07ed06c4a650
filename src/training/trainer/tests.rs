//! The loop itself, on a model of two numbers.

use burn::module::Param;
use burn::nn::Linear;

use super::*;

/// A line through points that batch by batch move on.
struct Line<'a> {
    /// Asks to stop before the step of this number, counted from the first batch of the stream.
    stop_at: usize,
    stop: &'a AtomicBool,
    /// The step whose points are not finite.
    broken: usize,
}

const BATCHES: usize = 13;

impl Objective for Line<'_> {
    type Model = Linear;
    type Batch = usize;

    fn init(&self, device: &Device) -> Result<Linear> {
        // No draws: other tests take from the device's generator at the same time.
        Ok(Linear {
            weight: Param::from_tensor(Tensor::from_floats([[0.1]], device)),
            bias: Some(Param::from_tensor(Tensor::from_floats([-0.4], device))),
        })
    }

    fn batches(&self) -> usize {
        BATCHES
    }

    fn samples(&self) -> usize {
        2 * BATCHES
    }

    fn stream(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = usize> + '_> {
        let start = epoch as usize * BATCHES;
        Box::new(start + first..start + BATCHES)
    }

    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    fn count(&self, _: &usize) -> usize {
        2
    }

    fn feed(&self, batch: usize, _epoch: usize) -> Feed {
        if batch == self.stop_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        let x = (batch as f32 * 0.7).sin();
        let y = if batch == self.broken { f32::NAN } else { 0.3 };
        let mut feed = Feed::default();
        feed.push(vec![x, -0.5 * x], [2, 1]);
        feed.push(vec![2.0 * x + y, -x + y], [2, 1]);
        feed
    }

    fn loss(&self, model: &Linear, mut batch: Placed) -> Tensor<1> {
        let (x, y) = (batch.take::<2>(), batch.take::<2>());
        (model.forward(x) - y).square().mean()
    }

    fn validates(&self) -> bool {
        false
    }

    fn validate(&self, _: &Linear) -> Result<Validation> {
        unreachable!("there is no validation part")
    }

    fn is_better(&self, new: f64, old: f64) -> bool {
        new < old
    }

    fn shown(&self, _: &EpochRecord, _: f64) -> String {
        String::new()
    }
}

/// Two epochs with so many losses unread at a time, stopped and continued; loss of each epoch and
/// the weights.
fn losses(ahead: usize, stop_at: usize, broken: usize) -> Result<(Vec<f64>, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let training = TrainingConfig {
        epochs: 2,
        batch_size: 2,
        lr: 0.05,
        ..TrainingConfig::default()
    };
    loop {
        let stop = AtomicBool::new(false);
        let objective = Line {
            stop_at,
            stop: &stop,
            broken,
        };
        let task = Task {
            objective: &objective,
            training: &training,
            seed: 3,
            folder: folder.path(),
            device: &Device::flex(),
            stop: &stop,
            label: "",
            verbose: false,
        };
        let mut trainer = Trainer::new(&task)?;
        trainer.ahead = ahead;
        if let Ended::Interrupted { epoch, batch } = trainer.run()? {
            assert_eq!((epoch - 1) * BATCHES + batch, stop_at + 1);
            continue;
        }
        let (_, _, progress) = {
            let model = objective.init(&Device::flex().autodiff())?;
            let optimizer = Adam::new(&training, &model, |_| false);
            let path = last_checkpoint(folder.path());
            checkpoint::load(&path, model, optimizer, &Device::flex())?
        };
        let losses = progress.history.iter().map(|e| e.train_loss).collect();
        let weights = std::fs::read(best_weights(folder.path())).unwrap();
        return Ok((losses, weights));
    }
}

#[test]
fn losses_read_later_are_those_read_at_once() {
    let never = usize::MAX;
    let at_once = losses(1, never, never).unwrap();
    assert!(at_once.0[1] < at_once.0[0], "{:?}", at_once.0);
    assert_eq!(at_once, losses(8, never, never).unwrap());
    for stop_at in [0, 7, 8, 20] {
        assert_eq!(at_once, losses(8, stop_at, never).unwrap());
    }
}

#[test]
fn the_step_that_diverged_is_named_however_late_its_loss_is_read() {
    for ahead in [1, 8] {
        let message = losses(ahead, usize::MAX, 15).unwrap_err().to_string();
        assert!(message.contains("NaN in epoch 2, step 16"), "{message}");
    }
}
