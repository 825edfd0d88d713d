//! `chat-worker dead list`.

use ops::broker::Broker;
use serde_json::json;

use super::{dead_stream, letter::Letter, page};
use crate::{
    conclusion::Conclusion,
    console::{self, visible},
};

/// What of it is listed, and how.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Arguments {
    /// How many.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those above this number in `CHAT_DEAD`: the last one of the page before.
    #[arg(long, default_value = "0", value_name = "DEAD_SEQ")]
    after: u64,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(broker: &Broker, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    let stream = dead_stream(broker).await?;
    let state = &stream.cached_info().state;
    let letters = page(broker, arguments.after.saturating_add(1), usize::from(arguments.limit)).await?;
    let last = letters.last().map_or(arguments.after, |letter| letter.dead_seq);
    let has_more = last < state.last_sequence && letters.len() == usize::from(arguments.limit);
    if arguments.json {
        let items: Vec<_> = letters.iter().map(Letter::to_json).collect();
        console::answer(json!({ "items": items, "total": state.messages, "has_more": has_more }));
        return Ok(Conclusion::Done);
    }
    if letters.is_empty() {
        console::note("nothing lies in CHAT_DEAD there");
        return Ok(Conclusion::Done);
    }
    console::answer(row("DEAD SEQ", "SEQ", "ROOM", "REASON", "DELIVERIES", "TIME"));
    for letter in &letters {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        console::answer(row(
            &letter.dead_seq.to_string(),
            &or_dash(letter.seq().map(|seq| seq.to_string())),
            &or_dash(letter.room.map(|room| room.to_string())),
            &visible(letter.reason()),
            &or_dash(letter.deliveries().map(|deliveries| deliveries.to_string())),
            &or_dash(letter.logged_at().map(|at| at.to_string())),
        ));
    }
    if has_more {
        console::note(format_args!("{} in all; the next: --after {last}", state.messages));
    }
    Ok(Conclusion::Done)
}

fn row(dead_seq: &str, seq: &str, room: &str, reason: &str, deliveries: &str, time: &str) -> String {
    format!("{dead_seq:>8}  {seq:>12}  {room:<36}  {reason:<16}  {deliveries:>10}  {time}")
}
