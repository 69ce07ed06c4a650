//! Checks and times the kernels of a device.
//!
//! `kernels check` compares every kernel with the recurrence in f64; `kernels bench` prints time,
//! bytes, operations and the ratio to the version in plain tensor operations.

mod bench;
mod check;
mod family;
mod family_bench;
mod peak;
mod problem;

use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{DType, Device};
use clap::{Parser, Subcommand};
use tgmamba::cli::{device, settle};
use tgmamba::ops::matmul::{Precision, set_precision};

#[derive(Parser)]
#[command(about = "Check and time the kernels of a device", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare every kernel with the recurrence in f64.
    Check {
        /// Where to run: cpu, cuda, cuda:1, wgpu.
        #[arg(long, default_value = "cpu")]
        device: String,
        /// Small shapes only.
        #[arg(long)]
        quick: bool,
        /// Of the random inputs; a new one each time if absent.
        #[arg(long)]
        seed: Option<u64>,
        /// How products of f32 are computed on a GPU.
        #[arg(long, default_value = "exact")]
        precision: Precision,
    },
    /// Time the kernels.
    Bench {
        /// Where to run: cpu, cuda, cuda:1, wgpu.
        #[arg(long, default_value = "cpu")]
        device: String,
        /// Only cases whose name contains this.
        #[arg(long)]
        case: Option<String>,
        /// Samples of a case are divided by this (0: 1 on a GPU, 16 on the CPU).
        #[arg(long, default_value_t = 0)]
        shrink: usize,
        /// Storage of u, Δ, B and C: f32 or bf16 [default: both]
        #[arg(long)]
        dtype: Option<String>,
        /// Do not time the version in plain tensor operations.
        #[arg(long)]
        no_reference: bool,
        /// How products of f32 are computed on a GPU.
        #[arg(long, default_value = "exact")]
        precision: Precision,
    },
}

fn main() -> ExitCode {
    if let Err(error) = tgmamba::cli::start_log(None) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let result = match Flags::parse().command {
        Command::Check {
            device: name,
            quick,
            seed,
            precision,
        } => device(&name)
            .map_err(|error| error.to_string())
            .and_then(|device| {
                set_precision(precision);
                run_check(&device, quick, seed)
            }),
        Command::Bench {
            device: name,
            case,
            shrink,
            dtype,
            no_reference,
            precision,
        } => device(&name)
            .map_err(|error| error.to_string())
            .map(|device| {
                set_precision(precision);
                let cpu = name == "cpu";
                let options = bench::Options {
                    case,
                    dtype,
                    shrink: match (shrink, cpu) {
                        (0, true) => 16,
                        (0, false) => 1,
                        (shrink, _) => shrink,
                    },
                    plain: !no_reference,
                    limits: if cpu { peak::cpu() } else { peak::H100 },
                };
                bench::run(&device, &options);
            }),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    };
    settle();
    code
}

fn run_check(device: &Device, quick: bool, seed: Option<u64>) -> Result<(), String> {
    let seed = seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut failed = 0;
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        if !device.supports_dtype(dtype) {
            println!("{dtype:?}: not supported by this device");
            continue;
        }
        let mut worst = [0.0f64; 2];
        for (i, case) in check::cases(quick).into_iter().enumerate() {
            let start = Instant::now();
            let outcome = check::check(case, device, dtype, seed.wrapping_add(i as u64));
            let seconds = start.elapsed().as_secs_f64();
            let label = format!(
                "{dtype:?} b{} v{} l{} d{} n{} P{}{}{}{}{}",
                case.b,
                case.v,
                case.l,
                case.d,
                case.n,
                if case.p_batch { "/sample" } else { "" },
                if case.p_steps { "/step" } else { "" },
                if case.sparse { "/edges" } else { "" },
                if case.root { "" } else { " no root" },
                if case.state { " state" } else { "" },
            );
            report(&label, seconds, outcome, &mut worst, &mut failed);
        }
        for &size in check::products(quick) {
            let start = Instant::now();
            let outcome = check::check_product(size, device, dtype);
            let seconds = start.elapsed().as_secs_f64();
            let [batch, m, k, n] = size;
            let label = format!("{dtype:?} product {batch} x ({m}, {k}) ({k}, {n})");
            report(&label, seconds, outcome, &mut worst, &mut failed);
        }
        for op in family::cases(quick) {
            let start = Instant::now();
            let outcome = family::check(op, device, dtype, seed);
            let seconds = start.elapsed().as_secs_f64();
            let label = format!("{dtype:?} {}", op.label());
            report(&label, seconds, outcome, &mut worst, &mut failed);
        }
        println!(
            "{dtype:?}: worst relative error forward {:.1e}, gradients {:.1e}",
            worst[0], worst[1]
        );
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} cases failed")),
    }
}

/// Prints what came of a case and keeps account of it.
fn report(
    label: &str,
    seconds: f64,
    outcome: Result<[f64; 2], String>,
    worst: &mut [f64; 2],
    failed: &mut usize,
) {
    match outcome {
        Ok([forward, gradient]) => {
            *worst = [worst[0].max(forward), worst[1].max(gradient)];
            println!("ok   {label}: {forward:.1e} {gradient:.1e} ({seconds:.1} s)");
        }
        Err(message) => {
            *failed += 1;
            println!("FAIL {label}: {message}");
        }
    }
}
