//! Independent random streams from one seed.

use sha2::{Digest, Sha256};

/// A seed for the draws of `purpose` at position `counter`: the first eight bytes of
/// SHA-256(seed, purpose, counter). Streams of different purposes or positions are unrelated,
/// and none depends on how many numbers another one has drawn.
pub fn stream(seed: u64, purpose: &str, counter: u64) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.update([0]);
    hash.update(counter.to_le_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::stream;

    #[test]
    fn streams_differ_in_every_argument_and_repeat() {
        let base = stream(1, "weights", 0);
        assert_eq!(base, stream(1, "weights", 0));
        for other in [
            stream(2, "weights", 0),
            stream(1, "dropout", 0),
            stream(1, "weights", 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
