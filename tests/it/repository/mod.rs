//! Package repositories and the package cache, over a loopback server that misbehaves.
#![cfg(feature = "network")]

mod cache;
mod http;
mod keys;
mod metadata;

use goldsmith::repository::{Client, ClientOptions, Keyring};
use std::time::Duration;

/// The time of now in these tests (seconds since 1970): 2027-01-15.
const NOW: u64 = 1_800_000_000;

/// Options with short times.
fn options() -> ClientOptions {
    ClientOptions {
        connect: Duration::from_secs(5),
        response: Duration::from_secs(5),
        stall: Duration::from_millis(400),
        pause: Duration::from_millis(10),
        max_pause: Duration::from_secs(2),
        ..ClientOptions::default()
    }
}

fn client() -> Client {
    Client::new(options())
}

fn keyring(bytes: &[u8]) -> Keyring {
    Keyring::parse(bytes).unwrap()
}
