//! Times of the kernels on the shapes we quote.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use tgmamba::ops::matmul::matmul;
use tgmamba::ops::selective_scan::{self, SelectiveScanInput, SelectiveScanOutput, selective_scan};

use super::family_bench;
use super::peak::Limits;
use super::problem::{Case, Problem, Way};

/// What to time.
pub struct Options {
    /// Only cases whose name contains this.
    pub case: Option<String>,
    /// Only this storage.
    pub dtype: Option<String>,
    /// Samples of a case are divided by this.
    pub shrink: usize,
    /// Time the version in plain tensor operations too.
    pub plain: bool,
    /// What the device can do at most.
    pub limits: Limits,
}

/// EEG and traffic shapes of the graph scan.
pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("tusz_fft", Case::new([256, 19, 10, 64, 16]).per_step()),
        ("dodh_stft", Case::new([64, 16, 31, 64, 48]).per_step()),
        ("ern56", Case::new([60, 56, 16, 100, 16])),
        ("raw2000", Case::new([4, 19, 2000, 64, 16])),
        ("traffic207", Case::new([64, 207, 12, 64, 16])),
        // The los-loop preset, its graph as all pairs and as edges.
        ("pairs207", Case::new([32, 207, 12, 128, 8])),
        (
            "edges207",
            Case {
                sparse: true,
                ..Case::new([32, 207, 12, 128, 8])
            },
        ),
    ]
}

/// Seconds of the forward pass, of both passes, of both in a row of calls, and the part of the
/// last in which the host was busy launching.
pub(super) struct Times {
    pub forward: f64,
    pub both: f64,
    pub row: f64,
    pub host: f64,
}

fn sync(device: &Device) {
    device.sync().expect("the device answers");
}

/// Seconds of one call: the median of several, after a warm-up.
pub(super) fn median(device: &Device, calls: usize, f: impl Fn()) -> f64 {
    for _ in 0..2 {
        f();
    }
    sync(device);
    let mut times: Vec<f64> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            f();
            sync(device);
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[calls / 2]
}

/// Seconds per call of `calls` in a row: what a training loop sees, that waits at its end only.
pub(super) fn in_a_row(device: &Device, calls: usize, f: impl Fn()) -> (f64, f64) {
    f();
    sync(device);
    let start = Instant::now();
    for _ in 0..calls {
        f();
    }
    let host = start.elapsed().as_secs_f64() / calls as f64;
    sync(device);
    (start.elapsed().as_secs_f64() / calls as f64, host)
}

pub(super) fn time(device: &Device, forward: impl Fn(), both: impl Fn()) -> Times {
    const CALLS: usize = 15;
    let (row, host) = in_a_row(device, CALLS, &both);
    Times {
        forward: median(device, CALLS, forward),
        both: median(device, CALLS, both),
        row,
        host,
    }
}

fn header(limits: &Limits) {
    println!("limits: {}", limits.source);
    println!(
        "{:12} {:5} {:>9} {:>9} {:>9} {:>7} {:>8} {:>8} {:>6} {:>8} {:>6} {:>10} {:>6}",
        "case",
        "type",
        "fwd ms",
        "f+b ms",
        "in a row",
        "host",
        "GFLOP",
        "GFLOP/s",
        "% peak",
        "MB",
        "% mem",
        "plain ms",
        "ratio"
    );
}

pub(super) fn line(
    name: &str,
    dtype: DType,
    times: &Times,
    flop: f64,
    bytes: f64,
    limits: &Limits,
    plain: Option<f64>,
) {
    print!(
        "{name:12} {:5} {:9.3} {:9.3} {:9.3} {:7.3} {:8.2} {:8.0} {:6.1} {:8.1} {:6.1}",
        format!("{dtype:?}").to_lowercase(),
        times.forward * 1e3,
        times.both * 1e3,
        times.row * 1e3,
        times.host * 1e3,
        flop / 1e9,
        flop / times.row / 1e9,
        100.0 * flop / times.row / limits.flop,
        bytes / 1e6,
        100.0 * bytes / times.row / limits.bytes,
    );
    if let Some(plain) = plain {
        print!(" {:10.2} {:6.1}", plain * 1e3, plain / times.both);
    }
    println!();
}

pub fn run(device: &Device, options: &Options) {
    header(&options.limits);
    let wanted = |name: &str| options.case.as_ref().is_none_or(|case| name.contains(case));
    for dtype in [DType::F32, DType::BF16] {
        let name = format!("{dtype:?}").to_lowercase();
        if !device.supports_dtype(dtype) || options.dtype.as_ref().is_some_and(|d| *d != name) {
            continue;
        }
        for (name, case) in cases() {
            if wanted(name) {
                graph(name, case, device, dtype, options);
            }
        }
        if wanted("mamba") {
            plain_scan(device, dtype, options);
        }
        for size in PRODUCTS {
            if wanted("product") {
                product(size, device, dtype, options);
            }
        }
        for (name, op) in family_bench::CASES {
            if wanted(name) {
                family_bench::run(name, op, device, dtype, options);
            }
        }
    }
}

fn graph(name: &str, case: Case, device: &Device, dtype: DType, options: &Options) {
    let case = Case {
        b: case.b.div_ceil(options.shrink),
        ..case
    };
    let problem = Problem::random(case, 1);
    let tracked = problem.load(&device.clone().autodiff(), dtype);
    let operands = tracked.inner();
    let times = time(
        device,
        || drop(operands.scan(Way::Kernel)),
        || tracked.step(Way::Kernel),
    );
    let plain = (options.plain && dtype == DType::F32)
        .then(|| median(device, 1, || tracked.step(Way::Reference)));
    let bytes = case.bytes(dtype.size());
    line(
        name,
        dtype,
        &times,
        case.flop().1,
        bytes.0 + bytes.1,
        &options.limits,
        plain,
    );
}

/// Matrix products (batch, m, k, n): a projection of a model, P h of a traffic network, a square.
const PRODUCTS: [[usize; 4]; 3] = [
    [1, 16384, 1024, 2048],
    [64, 207, 207, 1024],
    [1, 4096, 4096, 4096],
];

/// A matrix product; "plain" is the framework's own, whatever its precision.
fn product([batch, m, k, n]: [usize; 4], device: &Device, dtype: DType, options: &Options) {
    let m = m.div_ceil(options.shrink);
    let random = |shape: [usize; 3], device: &Device| {
        Tensor::<3>::random(shape, Distribution::Uniform(-1.0, 1.0), device).cast(dtype)
    };
    let operands = |device: &Device| (random([batch, m, k], device), random([batch, k, n], device));
    let (a, b) = operands(device);
    let tracked = operands(&device.clone().autodiff());
    let (ta, tb) = (tracked.0.require_grad(), tracked.1.require_grad());
    let step = |f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| {
        drop(f(ta.clone(), tb.clone()).backward());
    };
    let times = time(
        device,
        || drop(matmul(a.clone(), b.clone())),
        || step(matmul),
    );
    let plain = options
        .plain
        .then(|| median(device, 5, || step(Tensor::matmul)));
    let flop = 3.0 * 2.0 * (batch * m * k * n) as f64;
    let bytes = 3.0 * (batch * (m * k + k * n + m * n) * dtype.size()) as f64;
    let name = format!("product {m}");
    line(&name, dtype, &times, flop, bytes, &options.limits, plain);
}

/// Mamba-1's scan with gate, softplus and bias, at the shape the CUDA original is quoted at.
fn plain_scan(device: &Device, dtype: DType, options: &Options) {
    let [b, d, l, n] = [8usize.div_ceil(options.shrink), 2048, 2048, 16];
    // The plain version keeps every step: on a CPU the full width does not fit its memory.
    let d = if options.shrink > 1 { d / 8 } else { d };
    let input = |device: &Device, track: bool| {
        let grad = |t: Tensor<3>| if track { t.require_grad() } else { t };
        let signal = |low, high, last| {
            let t = Tensor::<3>::random([b, l, last], Distribution::Uniform(low, high), device);
            grad(t.cast(dtype))
        };
        let channel = |low, high| {
            let t = Tensor::<1>::random([d], Distribution::Uniform(low, high), device);
            if track { t.require_grad() } else { t }
        };
        let a = Tensor::<2>::random([d, n], Distribution::Uniform(-2.0, -0.2), device);
        SelectiveScanInput {
            u: signal(-1.0, 1.0, d),
            delta: signal(-4.0, 0.0, d),
            a: if track { a.require_grad() } else { a },
            b: signal(-1.0, 1.0, n),
            c: signal(-1.0, 1.0, n),
            d: Some(channel(-1.0, 1.0)),
            z: Some(signal(-1.0, 1.0, d)),
            delta_bias: Some(channel(-0.5, 0.5)),
            delta_softplus: true,
            initial_state: None,
        }
    };
    let tracked = input(&device.clone().autodiff(), true);
    let operands = input(device, false);
    let step = |scan: fn(SelectiveScanInput) -> SelectiveScanOutput| {
        drop(scan(tracked.clone()).y.backward());
    };
    let times = time(
        device,
        || drop(selective_scan(operands.clone())),
        || step(selective_scan),
    );
    let plain = (options.plain && dtype == DType::F32).then(|| {
        median(device, 1, || {
            step(selective_scan::reference::selective_scan)
        })
    });
    // Per state and step: decay, update and output forward; thrice that with the gradients.
    let flop = 3.0 * (b * l * d * n) as f64 * 6.0;
    // u, Δ, z, y forward; u, Δ, z, dy and three gradients backward; B and C.
    let bytes = ((11 * b * l * d + 6 * b * l * n) * dtype.size()) as f64;
    line("mamba", dtype, &times, flop, bytes, &options.limits, plain);
}
