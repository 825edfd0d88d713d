//! The headers of an envelope: what is known of a body without reading it.

use async_nats::HeaderMap;

use super::Malformed;
use crate::{
    header,
    id::{MessageId, UserId},
    subject::GatewayId,
};

/// The headers that travel with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Who really sent it; none = the system.
    pub sender: Option<UserId>,
    /// The gateway that waits to hear `saved`.
    pub gateway: Option<GatewayId>,
    /// Whether it may be in the log already.
    pub is_resend: bool,
    /// Whether the sender acts by their role in the room, and not as the message's author.
    pub is_moderator: bool,
}

impl Headers {
    /// The headers as they are published with a body of this id.
    pub fn to_map(&self, id: MessageId) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(header::NATS_MSG_ID, id.to_string());
        map.insert(header::TIMINGLE_V, header::VERSION);
        if let Some(sender) = self.sender {
            map.insert(header::TIMINGLE_SENDER, sender.to_string());
        }
        if let Some(gateway) = &self.gateway {
            map.insert(header::TIMINGLE_GATEWAY, gateway.as_str());
        }
        if self.is_resend {
            map.insert(header::TIMINGLE_RESEND, "1");
        }
        if self.is_moderator {
            map.insert(header::TIMINGLE_MODERATOR, "1");
        }
        map
    }

    /// Reads them back.
    pub fn parse(map: Option<&HeaderMap>) -> Result<Self, Malformed> {
        let get = |name| map.and_then(|map| map.get(name)).map(async_nats::HeaderValue::as_str);
        if get(header::TIMINGLE_V) != Some(header::VERSION) {
            return Err(Malformed::Version);
        }
        let sender = match get(header::TIMINGLE_SENDER) {
            Some(text) => Some(text.parse().map_err(|_not_an_id| Malformed::Headers)?),
            None => None,
        };
        let gateway = match get(header::TIMINGLE_GATEWAY) {
            Some(text) => Some(GatewayId::parse(text).map_err(|_not_an_id| Malformed::Headers)?),
            None => None,
        };
        let is_set = |name| get(name) == Some("1");
        let (is_resend, is_moderator) = (is_set(header::TIMINGLE_RESEND), is_set(header::TIMINGLE_MODERATOR));
        Ok(Self { sender, gateway, is_resend, is_moderator })
    }
}
