//! `chat-worker dead show`.

use ops::broker::Broker;
use serde_json::{Map, Value, json};

use super::find;
use crate::{
    conclusion::Conclusion,
    console::{self, visible, visible_bytes},
};

/// Which, and how.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// Its number in `CHAT_DEAD`.
    #[arg(value_name = "DEAD_SEQ")]
    dead_seq: u64,
    /// As one JSON document; bytes that are no text stand in it in hex.
    #[arg(long)]
    json: bool,
    /// The original bytes and nothing else, as they are: for a file, not for a terminal.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(super) async fn run(broker: &Broker, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    let letter = find(broker, arguments.dead_seq).await?;
    if arguments.raw {
        console::raw(&letter.payload);
        return Ok(Conclusion::Done);
    }
    let headers = || letter.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    if arguments.json {
        let mut shown = letter.to_json();
        let mut named = Map::new();
        for (name, value) in headers() {
            let values = named.entry(name.to_string()).or_insert_with(|| json!([]));
            if let Value::Array(values) = values {
                values.push(value.as_str().into());
            }
        }
        let (name, body) = match std::str::from_utf8(&letter.payload) {
            Ok(text) => ("body", text.to_owned()),
            Err(_no_text) => ("body_hex", hex::encode(&letter.payload)),
        };
        if let Value::Object(shown) = &mut shown {
            shown.insert("headers".to_owned(), named.into());
            shown.insert(name.to_owned(), body.into());
        }
        console::answer(shown);
        return Ok(Conclusion::Done);
    }
    console::answer(format_args!("dead letter {}, buried at {}", letter.dead_seq, letter.buried_at));
    for (name, value) in headers() {
        console::answer(format_args!("{}: {}", visible(name.as_ref()), visible(value.as_str())));
    }
    console::answer(format_args!("\n{}", visible_bytes(&letter.payload)));
    Ok(Conclusion::Done)
}
