//! What the log says of a message that was deleted: everything but what it said. The stores write it so, and gateways
//! show it so while the stream still holds the text.

use serde::Serialize;

use crate::{
    envelope::{Body, MessageType},
    id::{MessageId, RoomId, UserId},
};

/// The frames that carry a text, without it. The order of the fields is that of [`Body`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Erased {
    Message {
        room_id: RoomId,
        id: MessageId,
        sender_id: UserId,
        sender_name: String,
        temp_id: String,
        content: (),
        message_type: MessageType,
        reply_to_id: Option<MessageId>,
    },
    MessageUpdated {
        room_id: RoomId,
        id: MessageId,
        message_id: MessageId,
        content: (),
        sender_id: UserId,
        temp_id: String,
    },
}

/// A stored body with `"content":null`. One that carries no text, or no longer, stays as it is.
pub fn erase(stored: &str) -> String {
    let erased = match serde_json::from_str::<Body>(stored) {
        Ok(Body::Message { room_id, id, sender_id, sender_name, temp_id, message_type, reply_to_id, .. }) => {
            Erased::Message { room_id, id, sender_id, sender_name, temp_id, content: (), message_type, reply_to_id }
        }
        Ok(Body::MessageUpdated { room_id, id, message_id, sender_id, temp_id, .. }) => {
            Erased::MessageUpdated { room_id, id, message_id, content: (), sender_id, temp_id }
        }
        Ok(Body::MessageDeleted { .. } | Body::Reaction { .. } | Body::System { .. }) | Err(_) => {
            return stored.to_owned();
        }
    };
    serde_json::to_string(&erased).expect("strings and ids serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_body_is_the_stored_one_with_null_for_its_text() {
        let message = Body::Message {
            room_id: RoomId::random(),
            id: MessageId::random(),
            sender_id: UserId::random(),
            sender_name: "안나".into(),
            temp_id: "a-1".into(),
            content: "secret \"}".into(),
            message_type: MessageType::Text,
            reply_to_id: None,
        };
        let edit = Body::MessageUpdated {
            room_id: RoomId::random(),
            id: MessageId::random(),
            message_id: MessageId::random(),
            content: "secret \"}".into(),
            sender_id: UserId::random(),
            temp_id: "a-2".into(),
        };
        for body in [message, edit] {
            let stored = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            let expected = stored.replace(r#""secret \"}""#, "null");
            assert_eq!(erase(&stored), expected);
            assert_eq!(erase(&expected), expected, "erasing again changes nothing");
        }
    }
}
