//! What no store may be asked to hold, though the log does: found before a batch is written, because one
//! refused text would refuse its whole batch.

use schema::{envelope::Body, problem::Code};

use crate::{Entry, Outcome};

/// The entry's body as text, or why it is never stored.
pub(crate) fn text_of(entry: &Entry) -> Result<&str, Outcome> {
    let stored = std::str::from_utf8(&entry.raw).map_err(|_not_utf8| Outcome::Refused(Code::InvalidFrame))?;
    // PostgreSQL's text can not hold U+0000.
    if has_null(&entry.body) || stored.contains('\0') {
        return Err(Outcome::Refused(Code::InvalidContent));
    }
    // A change of itself is nobody's message.
    if entry.body.target() == Some(entry.body.id()) {
        return Err(Outcome::Refused(Code::NotAMember));
    }
    Ok(stored)
}

fn has_null(body: &Body) -> bool {
    let texts: [&str; 3] = match body {
        Body::Message { sender_name, temp_id, content, .. } => [sender_name, temp_id, content],
        Body::MessageUpdated { temp_id, content, .. } => [temp_id, content, ""],
        Body::MessageDeleted { temp_id, .. } => [temp_id, "", ""],
        Body::Reaction { temp_id, emoji, .. } => [temp_id, emoji, ""],
        // Its data stays JSON, which spells U+0000 in other characters.
        Body::System { .. } => ["", "", ""],
    };
    texts.iter().any(|text| text.contains('\0'))
}
