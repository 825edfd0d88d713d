//! Says back what it is told, for conformance suites to be pointed at:
//! `cargo run --example echo -- 127.0.0.1:9001`.

mod server;

use gateway::codec::Rules;
use tokio::net::TcpListener;

/// As much as the suites send.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    server::serve(listener, Rules { message_bytes_max: MESSAGE_BYTES_MAX, takes_binary: true }).await
}
