//! How fast batches come, and the memory they come in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ndarray::Array4;

/// Where the time of a loader went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoaderTimes {
    /// Batches made.
    pub batches: u64,
    /// Time spent making them, by whichever thread.
    pub working: Duration,
    /// Time that callers of [`Batches::next`](super::Batches) stood still for them. Over the
    /// duration of an epoch this is the loader's share of it.
    pub waited: Duration,
}

/// What the clones of a loader share.
#[derive(Debug)]
pub(super) struct Pace {
    batches: AtomicU64,
    working: AtomicU64,
    waited: AtomicU64,
    spare: Mutex<Vec<Vec<f32>>>,
    most: usize,
}

impl Pace {
    /// Keeps up to `most` buffers.
    pub fn new(most: usize) -> Self {
        Self {
            batches: AtomicU64::new(0),
            working: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            spare: Mutex::default(),
            most,
        }
    }

    pub fn made(&self, took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        add(&self.working, took);
    }

    pub fn waited(&self, time: Duration) {
        add(&self.waited, time);
    }

    pub fn times(&self) -> LoaderTimes {
        let time = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        LoaderTimes {
            batches: self.batches.load(Ordering::Relaxed),
            working: time(&self.working),
            waited: time(&self.waited),
        }
    }

    /// A buffer of `size` values, whatever they are.
    pub fn buffer(&self, size: usize) -> Vec<f32> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match spare.iter().position(|b| b.len() == size) {
            Some(at) => spare.swap_remove(at),
            None => vec![0.0; size],
        }
    }

    pub fn give_back(&self, features: Array4<f32>) {
        let (buffer, offset) = features.into_raw_vec_and_offset();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < self.most && offset.unwrap_or(0) == 0 {
            spare.push(buffer);
        }
    }
}

fn add(total: &AtomicU64, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    total.fetch_add(nanos, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let pace = Pace::new(1);
        let mut first = pace.buffer(6);
        first[5] = 7.0;
        pace.give_back(Array4::from_shape_vec((1, 2, 3, 1), first).unwrap());
        // One of another size is left alone, and no more than one is kept.
        assert_eq!(pace.buffer(5).len(), 5);
        pace.give_back(Array4::zeros((1, 1, 1, 1)));
        assert_eq!(pace.buffer(6)[5], 7.0);
        assert_eq!(pace.buffer(6), [0.0; 6]);
    }

    #[test]
    fn times_add_up() {
        let pace = Pace::new(0);
        pace.made(Duration::from_millis(3));
        pace.made(Duration::from_millis(4));
        pace.waited(Duration::from_millis(5));
        let times = pace.times();
        assert_eq!(times.batches, 2);
        assert_eq!(times.working, Duration::from_millis(7));
        assert_eq!(times.waited, Duration::from_millis(5));
    }
}
