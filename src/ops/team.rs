//! Threads that wait awake for short work.
//!
//! A model that writes token after token has a hundred products a token, each of a few hundred
//! microseconds or less. Threads that sleep between them take tens of microseconds to wake, in a
//! virtual machine often more than the work: two cores then read weights no faster than one. These
//! stay awake for [`AWAKE`] after the last work, and sleep after that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// How long threads look for work before they sleep.
const AWAKE: Duration = Duration::from_millis(1);

/// Looks between two looks at the clock.
const LOOKS: u32 = 64;

/// More threads read memory no faster.
const MOST: usize = 16;

type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// The work that is being shared.
#[derive(Default)]
struct Desk {
    /// Odd while there is work to take: every work has an odd number of its own.
    turn: Watched,
    /// The place of the work; valid while `turn` is odd, and until `inside` is 0 after that.
    work: AtomicPtr<&'static Work<'static>>,
    parts: AtomicUsize,
    next: AtomicUsize,
    /// Threads that may be at work.
    inside: AtomicUsize,
    asleep: AtomicUsize,
    panicked: AtomicBool,
}

/// A number that threads look at all the time, in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Watched(AtomicUsize);

struct Team {
    desk: &'static Desk,
    threads: Vec<Thread>,
    /// One work at a time.
    owner: Mutex<()>,
}

impl Team {
    fn new(threads: usize) -> Self {
        // The threads live as long as the program.
        let desk: &'static Desk = Box::leak(Box::default());
        let start = |i| {
            let named = std::thread::Builder::new().name(format!("tgmamba-{i}"));
            named.spawn(move || wait(desk)).ok()
        };
        let handles = (0..threads).map_while(start);
        Self {
            desk,
            threads: handles.map(|h| h.thread().clone()).collect(),
            owner: Mutex::new(()),
        }
    }

    /// Runs all parts, or says that others are at it.
    fn share(&self, parts: usize, work: &Work<'_>) -> bool {
        let _owner = match self.owner.try_lock() {
            Ok(owner) => owner,
            // A part panicked in its owner; that work ended all the same.
            Err(TryLockError::Poisoned(owner)) => owner.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        // SAFETY: only the lifetime changes. Threads use the work between `open` and the end of
        // `close`, which comes before this function returns or unwinds.
        let mut work: &'static Work<'static> =
            unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        self.open(parts, &mut work);
        let close = Close(self.desk);
        self.desk.take();
        drop(close);
        if self.desk.panicked.load(SeqCst) {
            panic!("a part of the work panicked in another thread");
        }
        true
    }

    fn open(&self, parts: usize, work: &mut &'static Work<'static>) {
        let desk = self.desk;
        // Nobody takes anything while `turn` is even, see `wait`.
        desk.work.store(work, SeqCst);
        desk.parts.store(parts, SeqCst);
        desk.next.store(0, SeqCst);
        desk.panicked.store(false, SeqCst);
        desk.turn.0.fetch_add(1, SeqCst);
        if desk.asleep.load(SeqCst) > 0 {
            self.threads.iter().for_each(Thread::unpark);
        }
    }
}

/// Ends a work when it is dropped, also by a panic.
struct Close(&'static Desk);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.turn.0.fetch_add(1, SeqCst);
        let mut looks = 0u32;
        while self.0.inside.load(SeqCst) > 0 {
            looks = looks.wrapping_add(1);
            match looks.is_multiple_of(1024) {
                // Where there are more threads than processors, the other may be waiting for this one.
                true => std::thread::yield_now(),
                false => std::hint::spin_loop(),
            }
        }
    }
}

impl Desk {
    /// Does parts until there are none.
    fn take(&self) {
        loop {
            let part = self.next.fetch_add(1, SeqCst);
            if part >= self.parts.load(SeqCst) {
                return;
            }
            // SAFETY: the place holds a work as long as this may be called, see `work`.
            let work = unsafe { *self.work.load(SeqCst) };
            work(part);
        }
    }
}

/// What a thread of the team does.
fn wait(desk: &'static Desk) {
    let mut done = 0;
    let mut since = Instant::now();
    let mut looks = 0u32;
    loop {
        let turn = desk.turn.0.load(SeqCst);
        if turn % 2 == 1 && turn != done {
            done = turn;
            // Either this thread sees below that the work has ended, or the one that ends it sees
            // that a thread is inside.
            desk.inside.fetch_add(1, SeqCst);
            if desk.turn.0.load(SeqCst) == turn
                && catch_unwind(AssertUnwindSafe(|| desk.take())).is_err()
            {
                desk.panicked.store(true, SeqCst);
            }
            desk.inside.fetch_sub(1, SeqCst);
            since = Instant::now();
            continue;
        }
        std::hint::spin_loop();
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS) && since.elapsed() > AWAKE {
            desk.asleep.fetch_add(1, SeqCst);
            if desk.turn.0.load(SeqCst) == turn {
                std::thread::park();
            }
            desk.asleep.fetch_sub(1, SeqCst);
            since = Instant::now();
        }
    }
}

/// Runs `work` for every number below `parts`, on all threads that there are; for parts of
/// microseconds. As many threads as rayon has, which does longer work.
///
/// # Panics
/// If a part does.
pub fn share(parts: usize, work: &Work<'_>) {
    static TEAM: OnceLock<Team> = OnceLock::new();
    let alone = parts <= 1 || rayon::current_num_threads() == 1;
    if alone {
        (0..parts).for_each(work);
        return;
    }
    // A thread of rayon's has others beside it that are awake or asleep as their work is.
    let outside = rayon::current_thread_index().is_none();
    let team = || TEAM.get_or_init(|| Team::new(rayon::current_num_threads().min(MOST) - 1));
    if !(outside && team().share(parts, work)) {
        (0..parts).into_par_iter().with_max_len(1).for_each(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let team = Team::new(3);
        let count: Vec<AtomicUsize> = (0..40).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..=20_000 {
            let parts = 1 + round % 40;
            assert!(team.share(parts, &|i| {
                count[i].fetch_add(1, SeqCst);
            }));
            if round % 5_000 == 0 {
                // The threads fall asleep.
                std::thread::sleep(3 * AWAKE);
            }
        }
        for (i, count) in count.iter().enumerate() {
            // Rounds with more than i parts: one in forty for each number of parts.
            assert_eq!(count.load(SeqCst), (40 - i) * 500, "{i}");
        }
    }

    #[test]
    fn one_work_at_a_time() {
        let team = Team::new(2);
        let inner = AtomicUsize::new(0);
        assert!(team.share(6, &|_| {
            if team.share(2, &|_| ()) {
                inner.fetch_add(1, SeqCst);
            }
        }));
        assert_eq!(inner.load(SeqCst), 0);
        let sum = AtomicUsize::new(0);
        share(5, &|i| {
            share(3, &|j| {
                sum.fetch_add(10 * i + j, SeqCst);
            });
        });
        assert_eq!(sum.load(SeqCst), 10 * 3 * 10 + 5 * 3);
    }

    #[test]
    fn a_panic_comes_back_and_the_team_goes_on() {
        let team = Team::new(2);
        for _ in 0..50 {
            let failed = catch_unwind(AssertUnwindSafe(|| {
                team.share(8, &|i| assert!(i != 5, "part five"));
            }));
            assert!(failed.is_err());
            assert!(team.share(8, &|_| ()));
        }
    }
}
