//! The command `goldsmith`.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Gives memory back as it becomes free, which the C library's allocator keeps, and not before it
/// was overwritten: a signing key leaves no copy behind (`docs/decisions/0010-allocator.md`).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> std::process::ExitCode {
    goldsmith::cli::main()
}
