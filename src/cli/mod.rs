//! The command lines of the programs: arguments in, library calls, messages out.

pub mod data;
mod device;
pub mod eval;
mod flags;
#[cfg(any(feature = "cube", test))]
mod kernel_cache;
pub mod lm;
pub mod train;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use device::{device, settle};
use tgmamba_graph::cache::CacheOptions;

use crate::error::{Error, Result};

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

/// Whether windows are kept; the flag `--no-cache` of the programs.
fn cache_options(off: bool) -> CacheOptions {
    match off {
        true => CacheOptions::off(),
        false => CacheOptions::default(),
    }
}

/// A flag that SIGINT and SIGTERM set; the second signal ends the program at once.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        eprintln!("stopping after this step; once more to stop at once");
    };
    // Without a handler a signal ends the program, which a run survives as well.
    drop(ctrlc::set_handler(handler));
    stop
}

/// The command that started a program of this package.
fn command_line(program: &str) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quoted = arguments.iter().map(|a| {
        if a.contains(char::is_whitespace) {
            format!("'{a}'")
        } else {
            a.clone()
        }
    });
    let arguments: Vec<String> = quoted.collect();
    format!(
        "cargo run --release --bin {program} -- {}",
        arguments.join(" ")
    )
    .trim_end_matches(" -- ")
    .to_string()
}

/// Ends a program: 0, or 1 with the message on stderr.
pub fn finish(result: Result<()>) -> ExitCode {
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::logger().flush();
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    };
    settle();
    code
}
