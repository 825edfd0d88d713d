//! `cargo x demo`: two people meet in an event and talk for ten seconds; every frame is shown as it comes.

use std::{collections::HashMap, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    runtime, select,
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

use crate::{
    console,
    phone::{Account, Heard, Incoming, Item, Ledger, Phone, Rest, Word},
    stack::Stack,
    workspace,
};

/// What each of the two says.
const LINES: [(&str, &str); 10] = [
    ("Hi Ben! Are you free on the first?", "Hi Ann! In the morning, yes."),
    ("Ten o'clock, then?", "Ten is fine. Where?"),
    ("At the studio.", "Which one, the old or the new?"),
    ("The new one, by the river.", "좋아요, 거기서 만나요 👍"),
    ("I'll bring the drawings.", "And I'll bring the coffee ☕"),
    ("Two sugars, please.", "I remember."),
    ("How long do we need?", "An hour will do."),
    ("Shall I ask Cara to come?", "Let's look at it ourselves first."),
    ("Right. See you on the first.", "See you! I'll be there at five to."),
    ("One more thing: bring the keys.", "They are in my bag already 🔑"),
];
/// Between two lines of one person; the other one answers half way.
const PACE: Duration = Duration::from_millis(500);
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long the last line may take to be everywhere.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// Runs it against the stack that `cargo x up` started.
pub(crate) fn run() -> Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(meet())
}

async fn meet() -> Result<ExitCode> {
    let stack = Stack::at(workspace::run_dir());
    if stack.living()?.is_empty() {
        bail!("nothing is running: start it with `cargo x up --detach` first");
    }
    let (rest, gateways) = (Rest::new(&stack.api_url()?)?, stack.gateway_urls()?);
    let ann = Account::register(&rest, "Ann").await?;
    let ben = Account::register(&rest, "Ben").await?;
    let room = ann.make_event("The new studio", &[&ben]).await?;
    let phones = [Phone::start(&ann, &gateways, 0), Phone::start(&ben, &gateways, 1)];
    introduce(&stack, &gateways, room)?;

    let stage = Stage { began: Instant::now(), room, phones, names: HashMap::from([(ann.id, "Ann"), (ben.id, "Ben")]) };
    for phone in &stage.phones {
        phone.join(room, Some(0)).await?;
    }
    for phone in &stage.phones {
        phone.until("joining the room", READY_WITHIN, |ledger| ledger.is_live(room)).await?;
    }
    stage.talk().await?;
    let history = ann.history(room).await?;
    stage.print_history(&history);
    Ok(stage.sum_up(&history))
}

fn introduce(stack: &Stack, gateways: &[String], room: Uuid) -> Result<()> {
    let seat = |n: usize| gateways.get(n % gateways.len().max(1)).map_or("", String::as_str);
    console::answer(format_args!("Ann and Ben have signed up at {} and made an event.", stack.api_url()?));
    console::answer(format_args!("Ann talks through {}, Ben through {}.", seat(0), seat(1)));
    console::answer(format_args!("room {room}\n"));
    console::answer("    time  phone  frame      seq    prev     delay  what it says");
    console::answer("--------  -----  -------  -----  ------  --------  ------------------------------");
    Ok(())
}

/// The two of them, and what an onlooker sees.
struct Stage {
    began: Instant,
    room: Uuid,
    phones: [Phone; 2],
    names: HashMap<Uuid, &'static str>,
}

impl Stage {
    /// Both say their lines, while everything that is heard is printed.
    async fn talk(&self) -> Result<()> {
        let mut printed = [0, 0];
        let mut pace = interval(PACE);
        let mut lines = LINES.iter().flat_map(|(ann, ben)| [(0, *ann), (1, *ben)]);
        loop {
            let [ann, ben] = &self.phones;
            select! {
                _ = pace.tick() => match lines.next() {
                    Some((who, text)) => {
                        let phone = if who == 0 { ann } else { ben };
                        phone.say(self.room, text).await?;
                    }
                    None => break,
                },
                heard = ann.heard(printed[0]) => {
                    self.print(ann, &heard?);
                    printed[0] += 1;
                }
                heard = ben.heard(printed[1]) => {
                    self.print(ben, &heard?);
                    printed[1] += 1;
                }
            }
        }
        // What is on its way still.
        let rest = async {
            for (phone, printed) in self.phones.iter().zip(&mut printed) {
                while !self.is_done(phone) || phone.look(|ledger| ledger.heard.len()) > *printed {
                    self.print(phone, &phone.heard(*printed).await?);
                    *printed += 1;
                }
            }
            anyhow::Ok(())
        };
        // The numbers at the end tell what is missing.
        timeout(SETTLED_WITHIN, rest).await.unwrap_or(Ok(()))
    }

    /// Whether the phone has all its own lines saved, and everybody's on its screen.
    fn is_done(&self, phone: &Phone) -> bool {
        phone.look(|ledger| ledger.is_settled() && messages(ledger, self.room) >= 2 * LINES.len())
    }

    fn print(&self, phone: &Phone, heard: &Heard) {
        let (kind, seq, prev, text) = match &heard.frame {
            Incoming::Status { word: Word::Sent { seq, .. }, .. } => ("sent", Some(*seq), None, String::new()),
            Incoming::Status { word: Word::Saved { seq, .. }, .. } => ("saved", Some(*seq), None, String::new()),
            Incoming::Status { word: Word::Unknown { .. }, .. } => ("unknown", None, None, String::new()),
            Incoming::Status { word: Word::Failed { code, .. }, .. } => ("failed", None, None, code.clone()),
            Incoming::Joined { seq, replayed, .. } => ("joined", Some(*seq), None, format!("({replayed} replayed)")),
            Incoming::Skip { seq, prev, .. } => ("skip", Some(*seq), Some(*prev), String::new()),
            Incoming::Hello { protocol, .. } => ("hello", None, None, format!("(protocol {protocol})")),
            Incoming::Removed { reason, .. } => ("removed", None, None, reason.clone()),
            Incoming::Error { code, detail } => ("error", None, None, format!("{code}: {detail}")),
            Incoming::Message(frame)
            | Incoming::System(frame)
            | Incoming::MessageUpdated(frame)
            | Incoming::MessageDeleted(frame)
            | Incoming::Reaction(frame) => {
                let kind = heard.frame.log_frame().map_or("", |(kind, _)| kind);
                (kind, Some(frame.seq), Some(frame.prev), self.line(frame.sender_id, frame.content.as_deref()))
            }
            Incoming::Authenticated { .. }
            | Incoming::Left { .. }
            | Incoming::Pong { .. }
            | Incoming::Reconnect { .. }
            | Incoming::Typing(_)
            | Incoming::Presence(_)
            | Incoming::Read(_)
            | Incoming::RoomUpdated(_)
            | Incoming::Other => return,
        };
        let time = heard.at.saturating_duration_since(self.began).as_secs_f64();
        let who = phone.look(|ledger| ledger.name.clone());
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let (seq, prev) = (number(seq), number(prev));
        let delay =
            self.delay(heard).map_or_else(String::new, |delay| format!("{:.1} ms", delay.as_secs_f64() * 1000.0));
        let row = format!("{time:>6.3} s  {who:<5}  {kind:<7}  {seq:>5}  {prev:>6}  {delay:>8}  {text}");
        console::answer(row.trim_end());
    }

    /// How long after its sender meant it a frame came.
    fn delay(&self, heard: &Heard) -> Option<Duration> {
        let temp_id = match &heard.frame {
            Incoming::Status { temp_id, .. } => Some(temp_id),
            frame => frame.log_frame().and_then(|(_, frame)| frame.temp_id.as_ref()),
        }?;
        let meant = self.phones.iter().find_map(|phone| {
            phone.look(|ledger| ledger.intents.iter().find(|intent| intent.temp_id == *temp_id).map(|intent| intent.at))
        })?;
        Some(heard.at.saturating_duration_since(meant))
    }

    fn line(&self, sender: Option<Uuid>, content: Option<&str>) -> String {
        let name = sender.and_then(|sender| self.names.get(&sender)).copied().unwrap_or("*");
        format!("{name}: {}", content.unwrap_or_default())
    }

    fn print_history(&self, history: &[Item]) {
        console::answer("\nThe history, as REST answers it:\n");
        for item in history {
            let line = self.line(item.sender_id, item.content.as_deref());
            console::answer(format_args!("{:>7}  {}  {line}", item.seq, item.created_at));
        }
    }

    /// The last line, and what it means to whoever called us.
    fn sum_up(&self, history: &[Item]) -> ExitCode {
        let count = |what: fn(&Ledger) -> usize| self.phones.iter().map(|phone| phone.look(what)).sum::<usize>();
        let (sent, saved) = (count(Ledger::sent), count(Ledger::saved));
        // Shown is what both have on their screens, as it stands in history.
        let is_shown = |item: &&Item| {
            let same = |ledger: &Ledger| {
                let shown = ledger.rooms.get(&self.room).and_then(|view| view.shown.get(&item.seq));
                shown.is_some_and(|shown| shown.id == item.id && shown.content == item.content)
            };
            item.kind == "message" && self.phones.iter().all(|phone| phone.look(same))
        };
        let shown = history.iter().filter(is_shown).count();
        console::answer(format_args!("\nsent {sent}, shown {shown}, saved {saved}"));
        let oddities: Vec<_> = self
            .phones
            .iter()
            .flat_map(|phone| phone.look(|ledger| ledger.all_oddities().map(str::to_owned).collect::<Vec<_>>()))
            .collect();
        for oddity in &oddities {
            console::note(oddity);
        }
        let all = 2 * LINES.len();
        if (sent, shown, saved) == (all, all, all) && oddities.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn messages(ledger: &Ledger, room: Uuid) -> usize {
    ledger.rooms.get(&room).map_or(0, |view| view.shown.values().filter(|shown| shown.kind == "message").count())
}
