//! `data plot`: signals over the graph of their sensors, as a picture.

use std::path::{Path, PathBuf};

use clap::Args;
use tgmamba_graph::inspect::{ExcerptOptions, excerpt};

use super::Reading;
use crate::error::{Error, Result};
use crate::report;
use crate::report::plots::{SignalsOverGraph, save_png, save_svg};

/// Draw signals over the graph of their sensors
///
/// Sensors at their places and with their edges, coloured by their values at one moment, beside a
/// few of them in time. Without a graph in the data, the one that training would use is drawn.
#[derive(Debug, Args)]
pub(super) struct PlotArgs {
    /// A file of signals, a folder with a dataset.toml, or the name of a data set
    #[arg(value_name = "PATH|NAME")]
    target: String,
    /// The picture, .png or .svg
    #[arg(short, long, value_name = "FILE.png")]
    output: PathBuf,
    /// Which recording, from 0 [default: the first of the last class]
    #[arg(long, value_name = "N")]
    recording: Option<usize>,
    /// Where to begin, seconds after the start (steps where there is no sampling rate) [default: 0]
    #[arg(long, value_name = "S")]
    from: Option<f64>,
    /// How long, in the same unit [default: 5 s of fast signals, days of slow ones]
    #[arg(long, value_name = "S")]
    length: Option<f64>,
    /// Sensors to show in time [default: five far from each other]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    sensors: Vec<String>,
    /// Which quantity, of several [default: the first]
    #[arg(long, value_name = "NAME")]
    quantity: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &PlotArgs) -> Result<()> {
    let path = &args.output;
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let vector = extension == "svg";
    if !vector && extension != "png" {
        return Err(Error::config(
            "--output",
            format!("{} ends in neither .png nor .svg", path.display()),
            "name the file FILE.png or FILE.svg",
        ));
    }
    let excerpt = excerpt(
        &args.target,
        &ExcerptOptions {
            inspect: args.reading.options(),
            recording: args.recording,
            start: args.from,
            length: args.length,
            sensors: args.sensors.clone(),
            quantity: args.quantity.clone(),
        },
    )?;
    let figure = SignalsOverGraph { excerpt: &excerpt };
    let drawn = match vector {
        true => save_svg(&figure, path).map(drop),
        false => save_png(&figure, path),
    };
    drawn.map_err(|e| of_report(e, path))?;
    say!("written: {}", path.display());
    Ok(())
}

fn of_report(error: report::Error, path: &Path) -> Error {
    match error {
        report::Error::Io { path, source } => Error::io(path, source),
        report::Error::Draw { problem, .. } => Error::file(
            path,
            "figure",
            problem,
            "choose a shorter stretch or fewer sensors",
        ),
    }
}
