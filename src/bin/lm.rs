//! Language models of Mamba blocks; see `lm --help`.

fn main() -> std::process::ExitCode {
    tgmamba::cli::lm::main()
}
