//! Folds and seeds side by side, in processes of their own.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Run, TrainArgs};
use crate::error::{Error, Result};

/// First part and step of this process.
pub fn share(args: &TrainArgs) -> Result<(usize, usize)> {
    let Some(text) = &args.share else {
        return Ok((0, 1));
    };
    text.split_once('/')
        .and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)))
        .filter(|(k, n)| k < n)
        .ok_or_else(|| Error::config("--share", format!("\"{text}\" is no share"), "give 0/2"))
}

/// Runs this program once per job on its share of the parts; false if one was stopped.
pub fn share_out(run: &Run, args: &TrainArgs, stop: &AtomicBool) -> Result<bool> {
    let program = std::env::current_exe().map_err(|e| Error::io("train", e))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut children = Vec::with_capacity(args.jobs);
    for k in 0..args.jobs {
        let mut command = Command::new(&program);
        command
            .arg("--resume")
            .arg(run.folder.path())
            .arg("--share")
            .arg(format!("{k}/{}", args.jobs))
            .arg("--quiet")
            .arg("--device")
            .arg(&run.config.device)
            .env("RAYON_NUM_THREADS", cores.div_ceil(args.jobs).to_string())
            .stdin(Stdio::null());
        if args.no_cache {
            command.arg("--no-cache");
        }
        children.push(command.spawn().map_err(|e| Error::io(&program, e))?);
    }
    let mut finished = true;
    for mut child in children {
        let status = child.wait().map_err(|e| Error::io(&program, e))?;
        finished &= status.success();
    }
    if !finished && !stop.load(Ordering::Relaxed) {
        return Err(Error::config(
            "--jobs",
            "a process of the run failed",
            format!(
                "see its message above, then continue with train --resume {}",
                run.folder.path().display()
            ),
        ));
    }
    Ok(finished)
}
