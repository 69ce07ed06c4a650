//! The command lines of the programs: arguments in, library calls, messages out.

pub mod eval;
mod flags;
pub mod train;

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Device by name: `cpu`, `cuda`, `cuda:N`.
///
/// # Errors
/// A name that is unknown or whose backend is not part of this build.
pub fn device(name: &str) -> Result<Device> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => cpu(),
        ("cuda", index) => {
            let index = index.parse().map_err(|_| {
                Error::config(
                    "--device",
                    format!("\"{name}\" has no device number"),
                    "give cuda:0",
                )
            })?;
            cuda(index)
        }
        _ => Err(Error::unknown("device", name, &["cpu", "cuda", "cuda:N"])),
    }
}

#[cfg(feature = "flex")]
fn cpu() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn cpu() -> Result<Device> {
    Err(not_built("cpu", "flex"))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    log::warn!(
        "the first steps on a GPU compile and tune kernels; this takes from seconds to a minute"
    );
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(not_built("cuda", "cuda"))
}

#[cfg(not(all(feature = "flex", feature = "cuda")))]
fn not_built(device: &str, feature: &str) -> Error {
    Error::config(
        "--device",
        format!("this program was built without {device}"),
        format!("build it with cargo build --release --features {feature}"),
    )
}

/// Sends warnings to stderr and everything to `file`, if there is one.
///
/// # Errors
/// A log file that cannot be opened.
pub fn start_log(file: Option<&Path>) -> Result<()> {
    use log::LevelFilter;

    let stderr = fern::Dispatch::new()
        .level(LevelFilter::Off)
        .level_for("tgmamba", LevelFilter::Warn)
        .level_for("tgmamba_graph", LevelFilter::Warn)
        .format(|out, message, record| {
            out.finish(format_args!(
                "{}: {message}",
                record.level().as_str().to_lowercase()
            ));
        })
        .chain(std::io::stderr());
    let mut log = fern::Dispatch::new().chain(stderr);
    if let Some(path) = file {
        let open = fern::log_file(path).map_err(|e| Error::io(path, e))?;
        let to_file = fern::Dispatch::new()
            .level(LevelFilter::Off)
            .level_for("tgmamba", LevelFilter::Info)
            .level_for("tgmamba_graph", LevelFilter::Info)
            .level_for("epoch", LevelFilter::Info)
            .format(|out, message, record| {
                let now = jiff::Zoned::now().strftime("%F %T");
                out.finish(format_args!("{now} {} {message}", record.level()));
            })
            .chain(open);
        log = log.chain(to_file);
    }
    // A second logger in one process is refused; the first one stays.
    drop(log.apply());
    Ok(())
}

/// Ends a program: 0, or 1 with the message on stderr.
pub fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::logger().flush();
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
