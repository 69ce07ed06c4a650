//! The iterator over the batches of an epoch.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::pace::Pace;
use super::{Batch, Loader};

/// Batches of an epoch, from [`Loader::batches`]. Its length is known ([`ExactSizeIterator`]).
#[derive(Debug)]
pub struct Batches {
    source: Source,
    left: Range<usize>,
    pace: Arc<Pace>,
}

#[derive(Debug)]
enum Source {
    /// Each batch is made when it is asked for.
    Here {
        loader: Loader,
        order: Vec<usize>,
        epoch: u64,
    },
    /// A thread makes them ahead; `None` once it has ended.
    Thread(Option<(Receiver<Batch>, JoinHandle<()>)>),
}

impl Batches {
    pub(super) fn new(loader: Loader, epoch: u64, start: usize) -> Self {
        let left = start..loader.len().max(start);
        let order = loader.order(epoch);
        let prefetch = loader.config().prefetch.min(left.len());
        let pace = Arc::clone(&loader.pace);
        if prefetch > 0 {
            let (loader, order) = (loader.clone(), order.clone());
            let make = move |number| loader.batch(&order, epoch, number);
            if let Ok(batches) = Self::ahead(prefetch, left.clone(), Arc::clone(&pace), make) {
                return batches;
            }
            log::warn!("no thread for loading ahead; batches are made when they are asked for");
        }
        Self {
            source: Source::Here {
                loader,
                order,
                epoch,
            },
            left,
            pace,
        }
    }

    /// Starts a thread that keeps up to `prefetch` batches waiting.
    fn ahead(
        prefetch: usize,
        left: Range<usize>,
        pace: Arc<Pace>,
        make: impl Fn(usize) -> Batch + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(prefetch);
        let mut numbers = left.clone();
        // Sending fails once the receiver is gone: the iterator was dropped.
        let work = move || {
            let _all_sent = numbers.all(|number| sender.send(make(number)).is_ok());
        };
        let thread = Builder::new().name("loader".to_string()).spawn(work)?;
        Ok(Self {
            source: Source::Thread(Some((receiver, thread))),
            left,
            pace,
        })
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let number = self.left.next()?;
        let started = Instant::now();
        let batch = match &mut self.source {
            Source::Here {
                loader,
                order,
                epoch,
            } => Some(loader.batch(order, *epoch, number)),
            Source::Thread(running) => {
                let received = running.as_ref().and_then(|(r, _)| r.recv().ok());
                if received.is_none() {
                    // The thread ended before its last batch: it panicked.
                    self.left = 0..0;
                    if let Some((_, thread)) = running.take()
                        && let Err(panic) = thread.join()
                    {
                        std::panic::resume_unwind(panic);
                    }
                }
                received
            }
        };
        self.pace.waited(started.elapsed());
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        if let Source::Thread(running) = &mut self.source
            && let Some((receiver, thread)) = running.take()
        {
            drop(receiver);
            // A panic in a batch nobody asked for is of no consequence.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ndarray::Array4;

    use super::*;

    fn pace() -> Arc<Pace> {
        Arc::new(Pace::new(1))
    }

    fn batch(number: usize) -> Batch {
        Batch {
            index: vec![number],
            features: Array4::zeros((1, 1, 1, 1)),
            mask: None,
            target: vec![0],
            valid: 1,
        }
    }

    #[test]
    fn dropping_early_ends_the_thread() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let mut batches = Batches::ahead(2, 0..1_000_000, pace(), move |number| {
            counter.fetch_add(1, Ordering::SeqCst);
            batch(number)
        })
        .unwrap();
        assert_eq!(batches.len(), 1_000_000);
        assert_eq!(batches.next().unwrap().index, [0]);
        drop(batches);
        // The thread has been joined, so its closure and with it the counter are gone.
        assert_eq!(Arc::strong_count(&made), 1);
        // One taken, two waiting, one refused.
        assert!(made.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn a_panic_reaches_the_caller_after_the_batches_before_it() {
        let mut batches = Batches::ahead(1, 0..5, pace(), |number| {
            assert!(number < 2, "cannot make batch {number}");
            batch(number)
        })
        .unwrap();
        assert_eq!(batches.next().unwrap().index, [0]);
        assert_eq!(batches.next().unwrap().index, [1]);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.next()))
            .expect_err("the third batch panics");
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("cannot make batch 2"), "{message}");
        assert!(batches.next().is_none());
    }

    #[test]
    fn a_panic_nobody_waits_for_does_not_hang_the_drop() {
        let batches = Batches::ahead(1, 0..5, pace(), |number| {
            assert!(number < 1, "cannot make batch {number}");
            batch(number)
        });
        drop(batches.unwrap());
    }
}
