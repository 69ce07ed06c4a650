//! How fast batches come, against how fast memory can be copied.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::Loader;

/// What [`throughput`] measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Batches taken.
    pub batches: usize,
    /// Bytes of features in a full batch.
    pub batch_bytes: usize,
    /// Bytes of features per second, as a caller that does nothing else gets them.
    pub loaded: f64,
    /// Bytes per second of a plain copy by all threads, measured between the batches.
    pub copied: f64,
}

impl Throughput {
    /// Speed of the loader over that of a plain copy.
    pub fn ratio(&self) -> f64 {
        self.loaded / self.copied
    }
}

/// Takes batches for `time` after one epoch, or as long, that warms up, and in turns copies memory.
/// Batches are given back, so that their memory is used again.
pub fn throughput(loader: &Loader, time: Duration) -> Throughput {
    let mut epoch = 0;
    let warm = Instant::now();
    for batch in loader.batches(epoch, 0) {
        loader.recycle(batch);
        if warm.elapsed() > time {
            break;
        }
    }
    let copy = Copy::new();
    let (mut batches, mut bytes, mut batch_bytes) = (0, 0usize, 0);
    let (mut loading, mut copying) = (Duration::ZERO, Duration::ZERO);
    let mut copied = 0;
    let turn = time / 5;
    let mut copy = copy;
    while loading < time {
        let started = Instant::now();
        while started.elapsed() < turn {
            epoch += 1;
            for batch in loader.batches(epoch, 0) {
                let size = batch.features.len() * size_of::<f32>();
                batches += 1;
                bytes += size;
                batch_bytes = batch_bytes.max(size);
                loader.recycle(batch);
                if started.elapsed() >= turn {
                    break;
                }
            }
        }
        loading += started.elapsed();
        let started = Instant::now();
        while started.elapsed() < turn {
            copied += copy.run();
        }
        copying += started.elapsed();
    }
    Throughput {
        batches,
        batch_bytes,
        loaded: bytes as f64 / loading.as_secs_f64(),
        copied: copied as f64 / copying.as_secs_f64(),
    }
}

/// Two buffers that no cache of a processor holds.
struct Copy {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Copy {
    const SIZE: usize = 1 << 28;

    fn new() -> Self {
        let mut copy = Self {
            from: vec![1; Self::SIZE],
            to: vec![0; Self::SIZE],
        };
        copy.run();
        copy
    }

    /// Copies one to the other; the bytes copied.
    fn run(&mut self) -> usize {
        const PIECE: usize = 1 << 20;
        let from = self.from.par_chunks(PIECE);
        let to = self.to.par_chunks_mut(PIECE);
        to.zip(from).for_each(|(to, from)| to.copy_from_slice(from));
        Self::SIZE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::loader::LoaderConfig;
    use crate::split::fixture::dataset;

    #[test]
    fn figures_are_of_what_was_taken() {
        let data = Arc::new(dataset(&[0, 1, 0, 1], 10));
        let cfg = LoaderConfig {
            batch_size: 8,
            ..Default::default()
        };
        let loader = Loader::new(data, (0..40).collect(), cfg).unwrap();
        let figures = throughput(&loader, Duration::from_millis(20));
        assert_eq!(figures.batch_bytes, 8 * 4 * 8 * 4);
        assert!(figures.batches > 0 && figures.loaded > 0.0 && figures.copied > 0.0);
        assert!((figures.ratio() * figures.copied - figures.loaded).abs() < 1e-6 * figures.loaded);
    }
}
