//! Ports for servers that cannot find one themselves.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// A free port. It is none of those that the system gives to connections: one of these would take
/// it before its server does.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(101);
    let places = (0..20_000).map(|_| first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % 20_000);
    let mut ports = places.map(|place| 10_000 + u16::try_from(place).unwrap());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
