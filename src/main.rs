//! The command `goldsmith`.

fn main() -> std::process::ExitCode {
    goldsmith::cli::main()
}
