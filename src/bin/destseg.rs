//! The command line program.

fn main() -> std::process::ExitCode {
    destseg::cli::run()
}
