//! Times of the kernels on the shapes we quote.

use std::time::Instant;

use burn::tensor::{DType, Device};
use tgmamba::ops::graph_scan::{graph_scan, reference};

use super::problem::{Case, Operands, Problem, Scan};

/// What a device can do at most.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Operations per second, fused multiply-adds counted twice.
    flop: f64,
    /// Bytes per second.
    bytes: f64,
}

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("tusz_fft", Case::new([256, 19, 10, 64, 16]).per_step()),
        ("dodh_stft", Case::new([64, 16, 31, 64, 48]).per_step()),
        ("ern56", Case::new([60, 56, 16, 100, 16])),
        ("raw2000", Case::new([4, 19, 2000, 64, 16])),
        ("traffic207", Case::new([64, 207, 12, 64, 16])),
    ]
}

/// Seconds of one call: the median of several, after a warm-up.
fn time(device: &Device, calls: usize, f: impl Fn()) -> f64 {
    let sync = || device.sync().expect("the device answers");
    for _ in 0..2 {
        f();
    }
    sync();
    let mut times: Vec<f64> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            f();
            sync();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[calls / 2]
}

/// Seconds per call of `calls` in a row: what a training loop sees, that waits at its end only.
/// And the part of it in which the host was busy launching.
fn throughput(device: &Device, calls: usize, f: impl Fn()) -> (f64, f64) {
    let sync = || device.sync().expect("the device answers");
    f();
    sync();
    let start = Instant::now();
    for _ in 0..calls {
        f();
    }
    let launching = start.elapsed().as_secs_f64() / calls as f64;
    sync();
    (start.elapsed().as_secs_f64() / calls as f64, launching)
}

pub fn run(
    device: &Device,
    only: Option<&str>,
    stored: Option<&str>,
    shrink: usize,
    with_reference: bool,
) {
    let autodiff = device.clone().autodiff();
    let limits = Limits {
        flop: 66.9e12,
        bytes: 3.35e12,
    };
    println!(
        "case        type  fwd ms  f+b ms  (in a row) (host)  GFLOP  TFLOP/s  MB  flop%  byte%  plain f+b ms  ratio"
    );
    for (name, case) in cases() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let case = Case {
            b: case.b.div_ceil(shrink),
            ..case
        };
        for dtype in [DType::F32, DType::BF16] {
            let name_of = if dtype == DType::F32 { "f32" } else { "bf16" };
            if !device.supports_dtype(dtype) || stored.is_some_and(|s| s != name_of) {
                continue;
            }
            let problem = Problem::random(case, 1);
            let operands = problem.load(&autodiff, dtype);
            let plain_operands = operands.inner();
            let calls = 15;
            let forward = time(device, calls, || drop(plain_operands.scan(graph_scan)));
            let step = |operands: &Operands, scan: Scan| operands.step(scan);
            let both = time(device, calls, || step(&operands, graph_scan));
            let (row, launching) = throughput(device, calls, || step(&operands, graph_scan));
            let (f1, f2) = case.flop();
            let size = if dtype == DType::F32 { 4 } else { 2 };
            let (b1, b2) = case.bytes(size);
            let _ = f1;
            let rate = f2 / row;
            let floor = (b1 + b2) / limits.bytes;
            print!(
                "{name:11} {:5} {:7.3} {:7.3} {:7.3} {:7.3} {:9.2} {:7.2} {:7.1} {:5.1} {:5.1}",
                format!("{dtype:?}"),
                forward * 1e3,
                both * 1e3,
                row * 1e3,
                launching * 1e3,
                f2 / 1e9,
                rate / 1e12,
                (b1 + b2) / 1e6,
                100.0 * rate / limits.flop,
                100.0 * floor / row,
            );
            if with_reference && dtype == DType::F32 {
                let plain = time(device, 3, || step(&operands, reference::graph_scan));
                print!(" {:10.2} {:6.1}", plain * 1e3, plain / both);
            }
            println!();
        }
    }
}
