//! Tests a trained run or runs a model on plain arrays; see `eval --help`.

fn main() -> std::process::ExitCode {
    tgmamba::cli::eval::main()
}
