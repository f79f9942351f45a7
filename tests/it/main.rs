//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod boot;
mod cli;
mod convert;
mod doctor;
mod edit;
mod fleet;
mod formats;
mod house;
mod lock;
mod packages;
mod plan;
mod repository;
mod support;
mod verify;

/// That of the command, which wipes what is freed.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<mimalloc::MiMalloc> =
    zeroizing_alloc::ZeroAlloc(mimalloc::MiMalloc);
