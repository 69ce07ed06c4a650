//! Trains a classifier on multi-sensor recordings; see `train --help`.

fn main() -> std::process::ExitCode {
    tgmamba::cli::train::main()
}
