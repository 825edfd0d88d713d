//! The proof that a server has read a handshake.

use base64::Engine as _;
use sha1::{Digest, Sha1};

/// RFC 6455, 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    base64::engine::general_purpose::STANDARD.encode(hash)
}
