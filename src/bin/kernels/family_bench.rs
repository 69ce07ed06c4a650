//! Times of the operations of the Mamba family.

use burn::tensor::{DType, Device};

use super::bench::{Options, Times, in_a_row, line, median, time};
use super::family::{Op, Problem};

/// Shapes we quote: those of Mamba-2 with 64 heads and of its 130m model's decoding.
pub const CASES: [(&str, Op); 10] = [
    ("ssd 8x2048", ssd([8, 2048, 64, 64, 1, 128])),
    ("ssd 1x16384", ssd([1, 16384, 64, 64, 1, 128])),
    ("conv 8x2048", conv([8, 2048, 4352, 4])),
    ("conv 64x1", conv([64, 1, 4352, 4])),
    ("norm 2048", norm([16384, 2048, 1], None)),
    ("norm gated", norm([16384, 4096, 1], Some(false))),
    ("norm groups", norm([16384, 4096, 8], Some(false))),
    ("step b1", heads([1, 24, 64, 1, 128])),
    ("step b64", heads([64, 64, 64, 1, 128])),
    (
        "step1 b64",
        Op::Channels {
            size: [64, 4096, 16],
        },
    ),
];

const fn ssd(size: [usize; 6]) -> Op {
    let packed = false;
    Op::Ssd { size, packed }
}

const fn conv(size: [usize; 4]) -> Op {
    let packed = false;
    Op::Conv { size, packed }
}

const fn norm(size: [usize; 3], gate: Option<bool>) -> Op {
    Op::Norm { size, gate }
}

const fn heads(size: [usize; 5]) -> Op {
    Op::Heads { size }
}

/// Fewer samples, rows or steps.
fn shrunk(op: Op, by: usize) -> Op {
    let less = |n: usize| n.div_ceil(by);
    match op {
        Op::Conv {
            size: [b, l, d, k],
            packed,
        } => Op::Conv {
            size: [less(b), l, d, k],
            packed,
        },
        Op::Norm {
            size: [rows, d, groups],
            gate,
        } => Op::Norm {
            size: [less(rows), d, groups],
            gate,
        },
        Op::Channels { size: [b, d, n] } => Op::Channels {
            size: [less(b), d, n],
        },
        Op::Heads {
            size: [b, h, p, g, n],
        } => Op::Heads {
            size: [less(b), h, p, g, n],
        },
        Op::Ssd {
            size: [b, l, h, p, g, n],
            packed,
        } => Op::Ssd {
            size: [b.div_ceil(by), if b > 1 { l } else { less(l) }, h, p, g, n],
            packed,
        },
    }
}

/// Additions and multiplications, and bytes that cross the memory once, of both passes (of the only
/// one, where there are no gradients).
///
/// Of the scan: the products of its form in chunks of 64 steps, thrice with the gradients.
fn work(op: Op, size: usize) -> (f64, f64) {
    let (flop, numbers) = match op {
        Op::Conv {
            size: [b, l, d, k], ..
        } => (6 * b * l * d * k, 5 * b * l * d),
        Op::Norm {
            size: [rows, d, _],
            gate,
        } => {
            let tensors = if gate.is_some() { 8 } else { 5 };
            (12 * rows * d, tensors * rows * d)
        }
        Op::Channels { size: [b, d, n] } => (6 * b * d * n, 2 * b * d * n),
        Op::Heads {
            size: [b, h, p, _, n],
        } => (5 * b * h * p * n, 2 * b * h * p * n),
        Op::Ssd {
            size: [b, l, h, p, g, n],
            ..
        } => {
            let within = 64 * (n + p);
            let across = 2 * p * n;
            let flop = 3 * 2 * b * l * h * (within + across);
            (flop, 5 * b * l * h * p + 6 * b * l * g * n)
        }
    };
    (flop as f64, (numbers * size) as f64)
}

pub fn run(name: &str, op: Op, device: &Device, dtype: DType, options: &Options) {
    let op = shrunk(op, options.shrink);
    let problem = Problem::random(op, 1);
    let operands = problem.load(device, dtype);
    let plain_version = options.plain && dtype == DType::F32;
    let (times, plain) = match op.differentiable() {
        true => {
            let tracked = problem.load(&device.clone().autodiff(), dtype);
            let times = time(device, || drop(operands.run(false)), || tracked.step(false));
            let plain = plain_version.then(|| median(device, 1, || tracked.step(true)));
            (times, plain)
        }
        false => {
            let forward = median(device, 15, || drop(operands.run(false)));
            let (row, host) = in_a_row(device, 100, || drop(operands.run(false)));
            let times = Times {
                forward,
                both: forward,
                row,
                host,
            };
            let plain = plain_version.then(|| median(device, 5, || drop(operands.run(true))));
            (times, plain)
        }
    };
    let (flop, bytes) = work(op, dtype.size());
    line(name, dtype, &times, flop, bytes, &options.limits, plain);
}
