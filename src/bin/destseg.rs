//! The command line program.

/// Keeps the memory of one layer's activations for the next: the system's allocator gives large blocks
/// back and gets them page by page, a third of the teacher's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    destseg::cli::run()
}
