//! The command `goldsmith`.

/// Gives memory back as it becomes free, which the C library's allocator keeps (`docs/decisions/0010-allocator.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    goldsmith::cli::main()
}
