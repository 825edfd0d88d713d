//! The gateway against a real nats-server of each test's own, real PostgreSQL and real Redis; the
//! worker is played by the harness.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect fails; clippy sees that only inside #[test]"
)]

mod changes;
mod codec;
mod codec_fuzz;
mod drain;
mod faults;
mod handshake;
mod harness;
mod join;
mod keys;
mod life;
mod limits;
mod marks;
mod metrics;
mod outage;
mod overload;
mod phone;
mod presence;
mod proxy;
mod raw;
mod replay;
mod resend;
mod talk;
