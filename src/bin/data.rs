//! Looks at, gets, lists and draws data; see `data --help`.

fn main() -> std::process::ExitCode {
    tgmamba::cli::data::main()
}
