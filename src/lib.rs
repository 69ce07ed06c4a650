//! Learning on graphs whose nodes are sensors and whose signals move in time.
//!
//! ```text
//! ops         numerical operations: the graph selective scan
//! nn          layers made of operations: graph convolution, edge learner, TGMamba
//! models      layers made into models: the classifier
//! training    the loop, schedules, checkpoints, metrics
//! evaluation  testing a run
//! forecast    the next steps of a series: windows, losses, models, errors
//! lm          language models: checkpoints, tokenizers, generation, training
//! run         configuration and folder of a run
//! recorder    steps that a GPU runs again as a whole
//! report      tables, plots, the HTML report
//! cli         command lines of the programs
//! ```
//!
//! The data layer is the crate `tgmamba_graph`.

/// Prints a line to standard output; a reader that has gone away is no reason to stop.
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($argument)*);
    }};
}

pub mod cli;
pub mod error;
pub mod evaluation;
pub mod forecast;
pub mod lm;
pub mod models;
pub mod nn;
pub mod ops;
pub mod recorder;
pub mod report;
pub mod run;
pub mod training;
