//! Reading files of containers (HDF5, MATLAB, pickles, Arrow) that other programs wrote; the files
//! and the scripts that made them are in `fixtures`.

mod arrow;
mod hdf5;
mod mat;
mod pandas;
mod pickle;

use std::alloc::System;
use std::path::{Path, PathBuf};

use cap::Cap;
use ndarray::{ArrayD, arr2};

/// Memory of all tests of this file together: a reader that believes the lengths of a damaged file
/// asks for more, and ends the program.
const MOST_MEMORY: usize = 3 << 30;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MOST_MEMORY);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The numbers 0 to 5 in two rows of three.
fn grid() -> ArrayD<i64> {
    arr2(&[[0, 1, 2], [3, 4, 5]]).into_dyn()
}

fn grid_f32() -> ArrayD<f32> {
    grid().mapv(|v| v as f32)
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| w.to_string()).collect()
}

/// Whole numbers that repeat from run to run (xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Gives `read` the file cut at many places, with a byte changed, and with several, some of them to
/// the largest number there is. `read` says whether all could be read; a cut file may not.
fn damage(name: &str, rounds: usize, read: impl Fn(&[u8]) -> bool) {
    let whole = std::fs::read(fixture(name)).unwrap();
    assert!(read(&whole), "{name}");
    assert!(!read(&[]), "{name}");
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let n = noise.below(whole.len());
        // What is behind the last byte that counts may be missing.
        read(&whole[..n]);
        let mut changed = whole.clone();
        changed[n] ^= 1 << noise.below(8);
        read(&changed);
        for _ in 0..1 + noise.below(3) {
            let at = noise.below(whole.len());
            let end = (at + 1 + noise.below(8)).min(whole.len());
            changed[at..end].fill([0xff, 0x00, 0x7f, 0x80][noise.below(4)]);
        }
        read(&changed);
    }
    for n in [1, 8, whole.len() / 8, whole.len() / 4, whole.len() / 2] {
        assert!(!read(&whole[..n]), "{name} cut at {n}");
    }
}
