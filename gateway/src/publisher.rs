//! Puts messages into the log and tells their senders what became of them.
//!
//! At most one publish is in flight for a (sender, room), so a retry never overtakes. No answer is no
//! failure: the same id is published again until an answer comes or the budget is over, and then the
//! outcome is `unknown`. `failed` is said only of what is provably not stored.
//!
//! Two tasks do it for all messages: a message has neither a task nor a timer of its own.

mod attempt;
mod before;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{HeaderMap, StatusCode, Subject};
use bytes::Bytes;
use foldhash::HashMap;
use futures_util::StreamExt as _;
use ops::mutant::{self, Mutant};
use parking_lot::{Mutex, MutexGuard};
use schema::{
    clock::Timestamp,
    envelope::Body,
    frame::server::{ServerFrame, Status},
    id::{MessageId, RoomId, UserId},
    problem::Code,
    subject::ChatSubject,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use crate::{render::LogMessage, socket::Socket, state::Gateway, subscription::subscribe};
use attempt::{Answer, Attempt, Outcome};
pub(crate) use before::Question;

/// Publishes of this process that wait for their answer.
const IN_FLIGHT_MAX: usize = 1_000;
/// After a publish that goes at once, others leave together within this time.
const GATHER: Duration = Duration::from_millis(1);
/// How often publishes that must be repeated, or given up, are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a sender is told to wait when the store has not settled.
const SETTLES_IN: Duration = Duration::from_secs(2);

/// Something on its way to the log.
#[derive(Debug)]
pub struct Outgoing {
    /// Who hears what became of it.
    pub socket: Arc<Socket>,
    /// Who really sends it.
    pub user_id: UserId,
    /// What.
    pub body: Body,
    /// The sender's own name for it.
    pub temp_id: String,
    /// Whether it was sent before.
    pub is_resend: bool,
    /// Why nothing may be published now: then its sender is told where it stands, if it is stored already.
    pub hindrance: Option<Code>,
    /// What is to be looked up of the message that it changes, before it is published.
    pub question: Option<Question>,
    /// Whether its sender acts by their role in the room.
    pub is_moderator: bool,
    /// When it was taken in.
    pub accepted_at: Timestamp,
    /// When its turn began.
    pub begun_at: Instant,
    /// The socket's place among its unanswered publishes.
    pub permit: OwnedSemaphorePermit,
}

/// Publishes, in order per sender and room.
#[derive(Debug)]
pub struct Publisher {
    state: Mutex<State>,
    /// Something is to be published.
    wake: Notify,
    /// Where answers come; each publish has a number below it.
    inbox: String,
}

#[derive(Debug, Default)]
struct State {
    /// What waits behind the message of the same sender and room that is on its way.
    lanes: HashMap<(UserId, RoomId), VecDeque<Outgoing>>,
    /// By number.
    in_flight: HashMap<u64, Attempt>,
    /// The numbers of those in flight, by the id of what they publish.
    numbers: HashMap<MessageId, u64>,
    /// What waits for a place among those in flight.
    held: VecDeque<Attempt>,
    /// Numbers to be published, or published again.
    due: Vec<u64>,
    next_number: u64,
}

impl Publisher {
    /// Publishes nothing yet; answers are to come below `inbox`.
    pub fn new(inbox: String) -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), inbox }
    }

    /// Takes a message over; its sender hears of it.
    pub fn submit(&self, gateway: &Arc<Gateway>, outgoing: Outgoing) {
        gateway.saved.expect(&outgoing);
        let mut state = self.state.lock();
        if let Some(waiting) = state.lanes.get_mut(&outgoing.lane()) {
            waiting.push_back(outgoing);
            return;
        }
        state.lanes.insert(outgoing.lane(), VecDeque::new());
        drop(state);
        self.start(gateway, outgoing);
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.state.lock().lanes.is_empty()
    }

    /// Publishes the message of a lane whose turn it is.
    fn start(&self, gateway: &Arc<Gateway>, mut outgoing: Outgoing) {
        outgoing.begun_at = Instant::now();
        // The stream knows an id again for two minutes: what the room has shown is looked up, marked or not.
        outgoing.is_resend = outgoing.is_resend || before::shown(gateway, &outgoing).is_some();
        if outgoing.is_resend || outgoing.question.is_some() {
            let gateway = Arc::clone(gateway);
            gateway.lifecycle.clone().spawn(async move { before::begin(gateway, outgoing).await });
        } else {
            self.launch(gateway, outgoing);
        }
    }

    fn launch(&self, gateway: &Gateway, outgoing: Outgoing) {
        let attempt = Attempt::new(outgoing, &gateway.id);
        let mut state = self.state.lock();
        if state.in_flight.len() >= IN_FLIGHT_MAX {
            state.held.push_back(attempt);
            return;
        }
        state.admit(attempt, gateway.config.publish_within);
        drop(state);
        self.wake.notify_one();
    }

    /// Takes in an answer, which is read only if somebody waits for it.
    fn take(&self, gateway: &Arc<Gateway>, number: u64, read: impl FnOnce() -> Answer) {
        let mut state = self.state.lock();
        // Most live copies come first, and prove as much; or it is a repeat's.
        let Some(attempt) = state.in_flight.get_mut(&number) else { return };
        if let Some(outcome) = attempt.take(read()) {
            if let Outcome::Sent { seq, .. } = outcome {
                gateway.health.saw(seq);
            }
            let attempt = state.release(number, gateway.config.publish_within);
            self.wake_if_due(state);
            if let Some(attempt) = attempt {
                conclude(gateway, attempt.into_outgoing(), &outcome);
            }
        }
    }

    /// A live copy of what this gateway has published proves, before the answer comes, that the log has it: its
    /// sender is told in the same breath as the room.
    pub(crate) fn is_in_log(&self, gateway: &Arc<Gateway>, id: MessageId, seq: u64) {
        let mut state = self.state.lock();
        let Some(number) = state.numbers.get(&id).copied() else { return };
        // What was there before it was handed over came by another way: its answer says that.
        if state.in_flight.get(&number).is_none_or(|attempt| seq <= attempt.above()) {
            return;
        }
        let attempt = state.release(number, gateway.config.publish_within);
        self.wake_if_due(state);
        if let Some(attempt) = attempt {
            finish(gateway, &attempt.into_outgoing(), &Outcome::Sent { seq, is_duplicate: false });
        }
    }

    /// Repeats what has waited long enough, and gives up what has no time left.
    fn look(&self, gateway: &Arc<Gateway>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let over: Vec<_> =
            state.in_flight.iter().filter(|(_, attempt)| attempt.is_over(now)).map(|(at, _)| *at).collect();
        let within = gateway.config.publish_within;
        let over: Vec<_> = over.into_iter().filter_map(|number| state.release(number, within)).collect();
        let State { in_flight, due, .. } = &mut *state;
        let repeat = |(number, attempt): (&u64, &mut Attempt)| attempt.must_repeat(now).then_some(*number);
        due.extend(in_flight.iter_mut().filter_map(repeat));
        self.wake_if_due(state);
        for attempt in over {
            let outcome = attempt.last_word();
            conclude(gateway, attempt.into_outgoing(), &outcome);
        }
    }

    fn wake_if_due(&self, state: MutexGuard<'_, State>) {
        let is_due = !state.due.is_empty();
        drop(state);
        if is_due {
            self.wake.notify_one();
        }
    }

    /// The lane's message is done with: the next one's turn.
    fn next(&self, gateway: &Arc<Gateway>, lane: (UserId, RoomId)) {
        let mut state = self.state.lock();
        let next = state.lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            state.lanes.remove(&lane);
        }
        drop(state);
        if let Some(outgoing) = next {
            self.start(gateway, outgoing);
        }
    }

    fn reply_to(&self, number: u64) -> Subject {
        Subject::from(format!("{}.{number}", self.inbox))
    }
}

impl State {
    fn admit(&mut self, mut attempt: Attempt, within: Duration) {
        attempt.begin(within);
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(attempt.id(), number);
        self.in_flight.insert(number, attempt);
        self.due.push(number);
    }

    /// Takes an attempt out; its place is the next one's that waits for one.
    fn release(&mut self, number: u64, within: Duration) -> Option<Attempt> {
        let attempt = self.in_flight.remove(&number);
        if let Some(attempt) = &attempt {
            self.numbers.remove(&attempt.id());
        }
        if let Some(next) = self.held.pop_front_if(|_| attempt.is_some()) {
            self.admit(next, within);
        }
        attempt
    }
}

impl Outgoing {
    const fn lane(&self) -> (UserId, RoomId) {
        (self.user_id, self.body.room_id())
    }
}

/// Publishes, until nobody is left to be told.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    tokio::select! {
        () = publish(&gateway) => {}
        () = look(&gateway) => {}
        () = gateway.over() => {}
    }
}

/// Hears the log's answers, until nobody is left to be told.
pub(crate) async fn run_answers(gateway: Arc<Gateway>) {
    tokio::select! {
        () = hear(&gateway) => {}
        () = gateway.over() => {}
    }
}

async fn publish(gateway: &Gateway) {
    let publisher = &gateway.publisher;
    loop {
        publisher.wake.notified().await;
        // Over a link that is new, or into a log whose numbers went back, it might get a number that was given before.
        gateway.health.open().await;
        let due = std::mem::take(&mut publisher.state.lock().due);
        let now = gateway.clock.now();
        for (n, number) in due.iter().enumerate() {
            // The link may have gone meanwhile.
            if !gateway.health.is_open() {
                publisher.state.lock().due.extend(due.iter().skip(n));
                publisher.wake.notify_one();
                break;
            }
            let message = publisher
                .state
                .lock()
                .in_flight
                .get_mut(number)
                .map(|attempt| attempt.message(now, gateway.health.greatest()));
            let Some((subject, headers, body)) = message else { continue };
            let reply = publisher.reply_to(*number);
            if mutant::is(Mutant::ShowBeforeStore) {
                show_early(gateway, &subject, &headers, &body);
            }
            let sent = gateway.broker.client.publish_with_reply_and_headers(subject, reply, headers, body).await;
            if let Err(error) = sent {
                tracing::warn!(%error, "a message was not handed to the broker: trying again");
            }
        }
        if !due.is_empty() {
            // What comes meanwhile leaves together: one write for all of it, here and at the broker.
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Shows what the log does not have yet: [`Mutant::ShowBeforeStore`].
fn show_early(gateway: &Gateway, subject: &Subject, headers: &HeaderMap, body: &Bytes) {
    let room = ChatSubject::parse(subject).and_then(|ChatSubject(room)| gateway.hub.find(room));
    if let Some(room) = room {
        let (last, logged_at) = (room.last(), gateway.clock.now());
        let (headers, body) = (Some(headers.clone()), body.clone());
        room.show(&LogMessage { seq: last + 1, prev: None, logged_at, headers, body }, last);
    }
}

async fn hear(gateway: &Arc<Gateway>) {
    let subject = format!("{}.*", gateway.publisher.inbox);
    let mut answers = subscribe(gateway, subject).await;
    while let Some(message) = answers.next().await {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let Some(number) = number else { continue };
        gateway.publisher.take(gateway, number, || match message.status {
            Some(StatusCode::NO_RESPONDERS) => Answer::Nobody,
            _ => Answer::parse(&message.payload),
        });
    }
}

async fn look(gateway: &Arc<Gateway>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        gateway.publisher.look(gateway);
    }
}

/// Tells what became of a message that was published. A duplicate is compared with what the log holds first.
fn conclude(gateway: &Arc<Gateway>, outgoing: Outgoing, outcome: &Outcome) {
    let Outcome::Sent { seq, is_duplicate: true } = *outcome else { return finish(gateway, &outgoing, outcome) };
    let gateway = Arc::clone(gateway);
    gateway.lifecycle.clone().spawn(async move {
        let stored = gateway.log.at(seq).await.ok().flatten().map(|LogMessage { body, .. }| body);
        finish_repeat(&gateway, &outgoing, seq, stored.as_deref());
    });
}

/// Tells the sender of a repeat where the message stands; or, if what is `stored` there says something else, that its
/// `temp_id` is taken. What can not be read any more can not be compared.
fn finish_repeat(gateway: &Arc<Gateway>, outgoing: &Outgoing, seq: u64, stored: Option<&[u8]>) {
    let stored = stored.and_then(|stored| serde_json::from_slice::<Body>(stored).ok());
    let is_other = |stored: Body| stored.id() == outgoing.body.id() && !stored.says_the_same(&outgoing.body);
    let outcome = if stored.is_some_and(is_other) {
        Outcome::Failed(Code::TempIdReused, "this temp_id names other content in this room".into())
    } else {
        Outcome::Sent { seq, is_duplicate: true }
    };
    finish(gateway, outgoing, &outcome);
}

/// Tells the sender, and gives the turn to the lane's next.
fn finish(gateway: &Arc<Gateway>, outgoing: &Outgoing, outcome: &Outcome) {
    gateway.measure.publish_seconds.record(outgoing.begun_at.elapsed());
    let (id, room_id, lane) = (outgoing.body.id(), outgoing.body.room_id(), outgoing.lane());
    let status = match outcome {
        Outcome::Sent { seq, .. } => Status::Sent { id, seq: *seq },
        Outcome::Unknown => Status::Unknown { retry: true },
        Outcome::Failed(code, detail) => {
            let (code, detail) = (*code, detail.clone());
            let retry_after_ms = (code == Code::NotSettled).then(|| u64::try_from(SETTLES_IN.as_millis()).unwrap_or(0));
            Status::Failed { code, detail, retry: code.may_retry(), retry_after_ms }
        }
    };
    let frame = ServerFrame::Status { room_id: Some(room_id), temp_id: outgoing.temp_id.clone(), status };
    outgoing.socket.say_soon(&frame, &gateway.hub.delivery().soon);
    match outcome {
        Outcome::Sent { seq, is_duplicate } => {
            if *is_duplicate && let Some(room) = gateway.hub.find(room_id) {
                // A duplicate is not shown again: its live copy may be the one that went missing.
                room.doubt(*seq);
            }
            gateway.saved.sent(gateway, outgoing, *seq, *is_duplicate);
        }
        Outcome::Failed(..) | Outcome::Unknown => gateway.saved.forget(gateway, id),
    }
    gateway.publisher.next(gateway, lane);
}
