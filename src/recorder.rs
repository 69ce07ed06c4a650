//! Work that is done again and again, of training or of generation: launched kernel by kernel, or, on
//! a GPU, recorded once and run again whole.
//!
//! Small models launch hundreds of short kernels a step, and the launches take longer than the
//! kernels. A recording is one launch. It reads and writes the memory it was made with: what changes
//! from step to step (a batch, the learning rate, the seeds of dropout) is copied into one tensor
//! before it runs, and what it carries on (parameters, moments, states) is updated where it lies.

use std::marker::PhantomData;

use burn::backend::{Backend, Dispatch, DispatchGraph};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::ops::overwrite::overwrite;

/// Arrays handed to the device, in the order in which they are taken there.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    parts: Vec<(Vec<f32>, Vec<usize>)>,
}

impl Feed {
    /// Adds an array, row-major.
    ///
    /// # Panics
    /// If the shape is of another size.
    pub fn push(&mut self, values: Vec<f32>, shape: impl Into<Vec<usize>>) {
        let shape = shape.into();
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{shape:?}");
        self.parts.push((values, shape));
    }

    /// Adds whole numbers, of less than 2²⁴: an f32 holds them exactly.
    ///
    /// # Panics
    /// As [`push`](Self::push), and at a number that is too large.
    pub fn push_ints(
        &mut self,
        values: impl IntoIterator<Item = i32>,
        shape: impl Into<Vec<usize>>,
    ) {
        let exact = |v: i32| {
            assert!(v.unsigned_abs() < 1 << 24, "{v} is not exact in f32");
            v as f32
        };
        self.push(values.into_iter().map(exact).collect(), shape);
    }

    /// The arrays as tensors of a device.
    pub fn place(self, device: &Device) -> Placed {
        let place = |(values, shape): (Vec<f32>, Vec<usize>)| {
            let count = values.len();
            let tensor = Tensor::from_data(TensorData::new(values, [count]), device);
            (tensor, shape)
        };
        Placed(
            self.parts
                .into_iter()
                .map(place)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    }

    /// Adds the arrays of another, after these.
    pub fn append(&mut self, other: Feed) {
        self.parts.extend(other.parts);
    }

    fn shapes(&self) -> Vec<Vec<usize>> {
        self.parts.iter().map(|(_, shape)| shape.clone()).collect()
    }
}

/// Arrays on the device.
#[derive(Debug)]
pub struct Placed(std::vec::IntoIter<(Tensor<1>, Vec<usize>)>);

impl Placed {
    /// The next array.
    ///
    /// # Panics
    /// If there is none, or it has another number of axes.
    pub fn take<const D: usize>(&mut self) -> Tensor<D> {
        let (tensor, shape) = self.0.next().expect("an array for every one that is taken");
        let shape: [usize; D] = shape.try_into().expect("as many axes as were given");
        tensor.reshape(shape)
    }

    /// The next array of whole numbers.
    ///
    /// # Panics
    /// As [`take`](Self::take).
    pub fn take_ints<const D: usize>(&mut self) -> Tensor<D, Int> {
        self.take::<D>().int()
    }
}

/// Runs steps, and records them where that is faster.
pub struct Recorder<T> {
    device: Device,
    stage: Stage<T>,
    /// How often the shape that was to be recorded turned out to be a rare one.
    rare: usize,
    /// A recording belongs to the stream of the thread that makes it.
    _thread: PhantomData<*const ()>,
}

/// Steps on memory of their own before the recording: the first allocate what it will use.
const WARM: usize = 3;

/// Steps of other shapes that are waited through before another shape is tried: while the device
/// waits for a recording it keeps the memory that arrays pass through on their way to it.
const OTHERS: usize = 4;

/// Shapes that are tried before every step is launched.
const TRIES: usize = 4;

enum Stage<T> {
    /// Every step is launched.
    Launch,
    /// The first step, which compiles kernels, is yet to come.
    Cold,
    /// Steps of one shape run on the memory that the recording will read.
    Warm {
        of: Static,
        runs: usize,
        others: usize,
    },
    /// Being recorded.
    Recording,
    /// Recorded.
    Ready {
        of: Static,
        result: T,
        graph: DispatchGraph,
    },
}

/// Memory of what a step is fed with.
struct Static {
    shapes: Vec<Vec<usize>>,
    memory: Tensor<1>,
}

impl Static {
    fn new(feed: &Feed, device: &Device) -> Self {
        let shapes = feed.shapes();
        let count: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        Self {
            shapes,
            memory: Tensor::zeros([count.max(1)], device),
        }
    }

    fn fits(&self, feed: &Feed) -> bool {
        self.shapes == feed.shapes()
    }

    fn fill(&self, feed: Feed) {
        if feed.parts.is_empty() {
            return;
        }
        let parts = feed.parts.into_iter();
        let values: Vec<f32> = parts.flat_map(|(part, _)| part).collect();
        let count = values.len();
        let data = TensorData::new(values, [count]);
        overwrite(
            self.memory.clone(),
            Tensor::from_data(data, &self.memory.device()),
        );
    }

    fn placed(&self, autodiff: bool) -> Placed {
        let mut start = 0;
        let mut parts = Vec::with_capacity(self.shapes.len());
        for shape in &self.shapes {
            let count = shape.iter().product();
            let part = self.memory.clone().narrow(0, start, count);
            let part = match autodiff {
                true => Tensor::from_inner(part),
                false => part,
            };
            parts.push((part, shape.clone()));
            start += count;
        }
        Placed(parts.into_iter())
    }
}

impl<T: Clone> Recorder<T> {
    /// Steps whose arrays are placed on `device`; `launch` never records.
    pub fn new(device: &Device, launch: bool) -> Self {
        // Fusion holds kernels back until a result is read: nothing would be recorded.
        let records = cfg!(feature = "cube")
            && !cfg!(feature = "fusion")
            && !crate::ops::is_cpu(device)
            && !launch;
        Self {
            device: device.clone(),
            stage: if records { Stage::Cold } else { Stage::Launch },
            rare: 0,
            _thread: PhantomData,
        }
    }

    /// One step. `work` computes tensors from what it is fed with and from memory that stays where it
    /// is, which it may overwrite, by operations that depend on shapes alone; it has to be the same
    /// every time. The tensors of a result hold until the next step.
    ///
    /// # Errors
    /// A device that refuses the recording.
    pub fn run(&mut self, feed: Feed, mut work: impl FnMut(Placed) -> T) -> Result<T> {
        match &mut self.stage {
            Stage::Warm { of, runs: WARM, .. } if of.fits(&feed) => self.record(&mut work)?,
            // The first step of a run that goes on may be the short one at the end of an epoch.
            Stage::Warm { of, runs, others } if !of.fits(&feed) => {
                *others += 1;
                if *runs == 0 || *others > OTHERS {
                    self.call_off();
                    self.rare += 1;
                    if self.rare < TRIES {
                        self.stage = Stage::Cold;
                    }
                }
            }
            _ => {}
        }
        match &mut self.stage {
            Stage::Ready { of, result, graph } if of.fits(&feed) => {
                of.fill(feed);
                // SAFETY: whoever gives the work keeps the memory it reads and writes, `of` and the
                // result live here, and everything goes to the stream of this thread.
                unsafe { Dispatch::graph_replay(plain(&self.device).as_dispatch(), graph) }
                    .map_err(|e| refused(&e))?;
                Ok(result.clone())
            }
            Stage::Warm { of, runs, .. } if of.fits(&feed) => {
                of.fill(feed);
                *runs += 1;
                Ok(work(of.placed(self.device.is_autodiff())))
            }
            Stage::Cold => {
                let device = plain(&self.device);
                let of = Static::new(&feed, &device);
                let result = work(feed.place(&self.device));
                let device = device.as_dispatch();
                Dispatch::sync(device).map_err(|e| refused(&e))?;
                self.stage = match Dispatch::graph_prepare(device) {
                    Ok(()) => Stage::Warm {
                        of,
                        runs: 0,
                        others: 0,
                    },
                    // Another recorder of this thread is about to record.
                    Err(e) => {
                        log::debug!("steps are launched: {e}");
                        Stage::Launch
                    }
                };
                Ok(result)
            }
            _ => Ok(work(feed.place(&self.device))),
        }
    }

    fn record(&mut self, work: &mut impl FnMut(Placed) -> T) -> Result<()> {
        let Stage::Warm { of, .. } = std::mem::replace(&mut self.stage, Stage::Recording) else {
            return Ok(());
        };
        let device = plain(&self.device);
        let device = device.as_dispatch();
        Dispatch::graph_start_capture(device).map_err(|e| refused(&e))?;
        let result = work(of.placed(self.device.is_autodiff()));
        let graph = Dispatch::graph_stop_capture(device).map_err(|e| refused(&e))?;
        log::debug!("a step was recorded and is run as a whole from now on");
        self.stage = Stage::Ready { of, result, graph };
        Ok(())
    }
}

impl<T> Recorder<T> {
    /// Launches steps from now on. A device that waits for a recording, or for its end, does so until
    /// this tells it that none comes.
    fn call_off(&mut self) {
        if let Stage::Warm { .. } | Stage::Recording = self.stage {
            // It answers that there was nothing to stop.
            let _ = Dispatch::graph_stop_capture(plain(&self.device).as_dispatch());
        }
        self.stage = Stage::Launch;
    }
}

impl<T> Drop for Recorder<T> {
    fn drop(&mut self) {
        self.call_off();
    }
}

fn plain(device: &Device) -> Device {
    match device.is_autodiff() {
        true => device.clone().inner(),
        false => device.clone(),
    }
}

fn refused(e: &dyn std::fmt::Display) -> Error {
    Error::config(
        "device",
        format!("a step failed: {e}"),
        "try --launch, which runs steps kernel by kernel, or --device cpu",
    )
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::optim::GradientsParams;

    use std::ops::Range;

    use super::*;
    use crate::nn::dropout::{Dropout, seeded};
    use crate::training::config::TrainingConfig;
    use crate::training::optimizer::{Adam, own_memory};

    /// Losses of a small training, with a shorter batch now and then.
    fn losses(device: &Device, launch: bool, steps: Range<usize>) -> Vec<f32> {
        let device = device.clone().autodiff();
        device.seed(5);
        let model = burn::nn::LinearConfig::new(3, 2).init(&device);
        let config = TrainingConfig {
            lr: 0.05,
            ..TrainingConfig::default()
        };
        let mut optimizer = Adam::new(&config, &model, |_| false);
        let dict = crate::nn::state_dict::collect(&model);
        let start: crate::nn::state_dict::StateDict = dict
            .into_iter()
            .map(|(name, mut tensor)| {
                for (i, v) in tensor.values.iter_mut().enumerate() {
                    *v = (i as f32 * 0.7).sin();
                }
                (name, tensor)
            })
            .collect();
        let mut model = own_memory(crate::nn::state_dict::apply(model, &start).0);
        let mut recorder = Recorder::new(&device, launch);
        let dropout = Dropout::new(0.3);
        let mut losses = Vec::new();
        for step in steps {
            let rows = if step % 5 == 2 { 3 } else { 8 };
            let x = (0..rows * 3)
                .map(|i| ((i + 7 * step) as f32).cos())
                .collect();
            let y = (0..rows).map(|i| ((i + step) % 2) as i32);
            let mut feed = Feed::default();
            feed.push(optimizer.course(0.05).to_vec(), [3]);
            feed.push(vec![step as f32, 11.0], [2]);
            feed.push(x, [rows, 3]);
            feed.push_ints(y, [rows, 1]);
            let (model, adam) = (&mut model, &mut optimizer);
            let loss = recorder.run(feed, |mut placed| {
                let course = placed.take::<1>().inner();
                let seeds = placed.take::<1>().inner();
                let (x, y) = (placed.take::<2>(), placed.take_ints::<2>());
                let out = seeded(seeds, || dropout.forward(model.forward(x)));
                let loss = out.gather(1, y).tanh().square().mean();
                let grads = GradientsParams::from_grads(loss.backward(), model);
                *model = adam.apply(model.clone(), grads, course);
                loss.inner()
            });
            optimizer.count_step();
            losses.push(loss.unwrap().into_scalar::<f32>());
        }
        losses
    }

    #[test]
    fn arrays_come_as_they_were_given() {
        let mut feed = Feed::default();
        feed.push(vec![1.0, 2.0], [2, 1]);
        let mut more = Feed::default();
        more.push_ints([-3, 70_000, (1 << 24) - 1], [3]);
        feed.append(more);
        let mut recorder = Recorder::new(&Device::flex(), false);
        let (a, b) = recorder
            .run(feed, |mut placed| {
                (placed.take::<2>(), placed.take_ints::<1>())
            })
            .unwrap();
        assert_eq!(a.dims(), [2, 1]);
        assert_eq!(a.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 2.0]);
        let b: Vec<i64> = b.into_data().iter::<i64>().collect();
        assert_eq!(b, [-3, 70_000, 16_777_215]);
    }

    #[test]
    #[should_panic(expected = "not exact")]
    fn numbers_that_f32_rounds_are_refused() {
        Feed::default().push_ints([1 << 24], [1]);
    }

    #[test]
    fn training_goes_down_on_the_cpu() {
        let losses = losses(&Device::flex(), false, 0..14);
        assert!(losses[13] < 0.8 * losses[0], "{losses:?}");
    }

    #[cfg(feature = "wgpu")]
    #[test]
    #[ignore = "needs a GPU or Mesa's software Vulkan"]
    fn recorded_steps_are_the_launched_ones_on_a_gpu() {
        let device = Device::wgpu(Default::default());
        let launched = losses(&device, true, 0..14);
        // Ends before it records, which leaves nothing behind.
        assert_eq!(losses(&device, false, 0..3), launched[..3]);
        assert_eq!(losses(&device, false, 0..14), launched);
        // Begins with the shape that comes now and then.
        assert_eq!(losses(&device, false, 2..18), losses(&device, true, 2..18));
        for (gpu, cpu) in launched.iter().zip(losses(&Device::flex(), false, 0..14)) {
            assert!((gpu - cpu).abs() < 1e-4, "{gpu} {cpu}");
        }
    }
}
