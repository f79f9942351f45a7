//! The command `goldsmith`.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Gives memory back as it becomes free, which the C library's allocator keeps, and not before it
/// was overwritten: no copy of a signing key remains (`docs/decisions/0010-allocator.md`).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> std::process::ExitCode {
    goldsmith::cli::main()
}
