//! What a device can do at most: the measure of the shares we print.

use std::time::Instant;

/// Operations (a fused multiply-add counts twice) and bytes per second.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub flop: f64,
    pub bytes: f64,
    /// Where the two come from.
    pub source: &'static str,
}

/// An H100 SXM by its data sheet: f32 without tensor cores, HBM3.
pub const H100: Limits = Limits {
    flop: 66.9e12,
    bytes: 3.35e12,
    source: "data sheet of an H100 SXM: 66.9 TFLOP/s f32, 3.35 TB/s",
};

/// The cores of this machine, measured: fused multiply-adds in registers, and a sum over memory.
pub fn cpu() -> Limits {
    let best = |work: &(dyn Fn() + Sync)| {
        (0..20)
            .map(|_| {
                let start = Instant::now();
                rayon::broadcast(|_| work());
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min)
    };
    let threads = rayon::current_num_threads() as f64;
    const ROUNDS: usize = 400_000;
    let flop = threads * (ROUNDS * 2 * LANES * CHAINS) as f64
        / best(&|| {
            std::hint::black_box(multiply_adds(ROUNDS));
        });
    const LENGTH: usize = 1 << 25;
    let memory = vec![1.0f32; LENGTH];
    let share = LENGTH / rayon::current_num_threads();
    let seconds = best(&|| {
        let start = rayon::current_thread_index().unwrap_or(0) * share;
        let mut sums = [0.0f32; 32];
        for chunk in memory[start..start + share].chunks_exact(32) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += x;
            }
        }
        std::hint::black_box(sums);
    });
    Limits {
        flop,
        bytes: (LENGTH * 4) as f64 / seconds,
        source: "this machine, measured",
    }
}

/// Numbers of one sum, and independent sums: enough to hide the latency of a multiply-add.
const LANES: usize = 16;
const CHAINS: usize = 20;

#[cfg(target_arch = "x86_64")]
fn multiply_adds(rounds: usize) -> f32 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    fn wide(rounds: usize) -> f32 {
        let mut sums = [_mm512_set1_ps(0.5); CHAINS];
        let factor = std::hint::black_box(_mm512_set1_ps(0.999));
        let term = std::hint::black_box(_mm512_set1_ps(0.001));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_ps(*sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: usize) -> f32 {
        // Twice ten registers of eight: sixteen exist, so in two halves.
        let mut all = 0.0;
        for _ in 0..4 {
            let mut sums = [_mm256_set1_ps(0.5); CHAINS / 2];
            let factor = std::hint::black_box(_mm256_set1_ps(0.999));
            let term = std::hint::black_box(_mm256_set1_ps(0.001));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, factor, term);
                }
            }
            all += sums.iter().map(|sum| _mm256_cvtss_f32(*sum)).sum::<f32>();
        }
        all
    }

    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the feature.
        unsafe { wide(rounds) }
    } else if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
    {
        // SAFETY: the processor has the features.
        unsafe { narrow(rounds) }
    } else {
        portable(rounds)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_adds(rounds: usize) -> f32 {
    portable(rounds)
}

/// As fast as the compiler makes it.
fn portable(rounds: usize) -> f32 {
    let mut sums = [[0.5f32; LANES]; CHAINS];
    let factor = std::hint::black_box(0.999f32);
    let term = std::hint::black_box(0.001f32);
    for _ in 0..rounds {
        for sum in sums.iter_mut().flatten() {
            *sum = *sum * factor + term;
        }
    }
    sums.iter().flatten().sum()
}
