//! One room as a phone shows it, kept by the holes rule: the greatest seq it was told of decides what a frame is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    account::{Item, Page},
    frame::{Action, LogFrame},
};

/// A message, change or system line on the screen.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where it stands.
    pub seq: u64,
    /// Which message or change.
    pub id: Uuid,
    /// `message`, `system` …
    pub kind: String,
    /// Who said it.
    pub sender: Option<Uuid>,
    /// The sender's own name for it.
    pub temp_id: Option<String>,
    /// What it says now.
    pub content: Option<String>,
    /// When the log stored it.
    pub created_at: String,
    /// When what it says was replaced.
    pub edited_at: Option<String>,
    /// Whether it was taken back.
    pub deleted: bool,
    /// Who reacted with what; `None` if it came from history, which does not say who.
    pub reactions: Option<BTreeMap<Box<str>, BTreeSet<Uuid>>>,
    /// When it came onto the screen.
    pub at: Instant,
}

/// What a frame was to the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// New, and shown if it shows anything.
    Applied,
    /// Known already.
    Repeat,
    /// Something before it is missing: join again.
    Hole,
}

/// How the room stands on the present socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// A `join` has to be sent.
    #[default]
    Out,
    /// It was, and is not answered.
    Joining,
    /// Live.
    In,
}

/// A room on the screen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The seq above which this phone must have everything; `None` until the first `joined`.
    pub since: Option<u64>,
    /// The greatest seq it was told of.
    pub last: Option<u64>,
    /// Everything shown, by seq, as the changes that were heard have left it.
    pub shown: BTreeMap<u64, Shown>,
    /// Where a message is shown.
    places: HashMap<Uuid, u64>,
    /// How many holes were seen, and so how often the room was joined again.
    pub holes: u32,
    /// How many frames were known already.
    pub repeats: u32,
    /// The seqs that can not be shown.
    pub skips: Vec<u64>,
    /// How often the room became live.
    pub joins: u32,
    /// Why the user is no longer in it.
    pub removed: Option<String>,
    /// What the server must not do, in words.
    pub oddities: Vec<String>,
    pub(super) standing: Standing,
    /// A join that was refused for now is not tried again before.
    pub(super) due: Option<Instant>,
}

impl View {
    /// A room to be joined: from now on, or from after `since`.
    pub(super) fn new(since: Option<u64>) -> Self {
        Self { since, last: since, ..Self::default() }
    }

    /// A room that starts with the newest page of history, to be joined where the store is known to have everything. A
    /// phone does not page further back, so it does not claim what is below the page.
    pub(super) fn of_history(page: Page, now: Instant) -> Self {
        let newest = page.items.last().map_or(0, |item| item.seq);
        let oldest = page.items.first().map_or(0, |item| item.seq);
        let since = page.settled_seq.min(newest);
        let claims = if page.has_more_before { oldest.saturating_sub(1).min(since) } else { 0 };
        let places = page.items.iter().map(|item| (item.id, item.seq)).collect();
        let shown = page.items.into_iter().map(|item| (item.seq, Shown::of_history(item, now))).collect();
        Self { since: Some(claims), last: Some(since), shown, places, ..Self::default() }
    }

    /// Whether the room is live on the present socket.
    pub fn is_live(&self) -> bool {
        self.standing == Standing::In
    }

    /// Takes a frame of the log.
    pub(super) fn take(&mut self, kind: &str, frame: &LogFrame, now: Instant) -> Verdict {
        let verdict = self.place(frame.seq, frame.prev);
        // What history has shown already is not shown again.
        if verdict == Verdict::Applied {
            self.shown.entry(frame.seq).or_insert_with(|| Shown::of_frame(kind, frame, now));
            self.places.entry(frame.id).or_insert(frame.seq);
            self.change(kind, frame);
        }
        verdict
    }

    /// Does to the message on the screen what a later frame says of it. Frames come in the log's order, so the last wins.
    fn change(&mut self, kind: &str, frame: &LogFrame) {
        let place = frame.message_id.and_then(|id| self.places.get(&id));
        // What was said before this phone came is not on its screen.
        let Some(message) = place.and_then(|place| self.shown.get_mut(place)) else { return };
        match kind {
            "message_deleted" => {
                message.deleted = true;
                message.content = None;
            }
            "message_updated" if !message.deleted => {
                message.content.clone_from(&frame.content);
                message.edited_at = Some(frame.created_at.clone());
            }
            "reaction" => {
                let of_emoji = message.reactions.as_mut().zip(frame.emoji.clone());
                let Some((people, user)) =
                    of_emoji.map(|(all, emoji)| all.entry(emoji).or_default()).zip(frame.sender_id)
                else {
                    return;
                };
                if frame.action == Some(Action::Added) {
                    people.insert(user);
                } else {
                    people.remove(&user);
                }
            }
            _ => {}
        }
    }

    /// Takes a seq that can not be shown.
    pub(super) fn skip(&mut self, seq: u64, prev: u64) -> Verdict {
        let verdict = self.place(seq, prev);
        if verdict == Verdict::Applied {
            self.skips.push(seq);
        }
        verdict
    }

    /// The holes rule.
    fn place(&mut self, seq: u64, prev: u64) -> Verdict {
        let Some(last) = self.last else {
            self.oddities.push(format!("seq {seq} came before the room was joined"));
            return Verdict::Repeat;
        };
        if prev >= seq {
            self.oddities.push(format!("seq {seq} says that {prev} is before it"));
        }
        if seq <= last {
            self.repeats += 1;
            return Verdict::Repeat;
        }
        if prev > last {
            // Frames behind a hole that is being filled already are part of the same hole.
            if self.standing == Standing::In {
                self.holes += 1;
                self.standing = Standing::Out;
            }
            return Verdict::Hole;
        }
        if prev < last {
            self.oddities.push(format!("seq {seq} says that {prev} is before it, but {last} was told of"));
        }
        self.last = Some(seq);
        Verdict::Applied
    }

    /// The room is live from `seq` on.
    pub(super) fn joined(&mut self, seq: u64, recovered: bool) {
        match self.last {
            None => self.since = Some(seq),
            Some(last) if !recovered => {
                self.oddities.push(format!("nothing was replayed after {last}: page history"));
            }
            Some(last) if seq > last => {
                self.oddities.push(format!("live from {seq}, but the replay ended with {last}"));
            }
            Some(_) => {}
        }
        self.last = self.last.max(Some(seq));
        self.joins += 1;
        self.standing = Standing::In;
    }
}

impl Shown {
    fn of_frame(kind: &str, frame: &LogFrame, at: Instant) -> Self {
        Self {
            seq: frame.seq,
            id: frame.id,
            kind: kind.to_owned(),
            sender: frame.sender_id,
            temp_id: frame.temp_id.clone(),
            content: frame.content.clone(),
            created_at: frame.created_at.clone(),
            edited_at: None,
            deleted: false,
            reactions: Some(BTreeMap::new()),
            at,
        }
    }

    fn of_history(item: Item, at: Instant) -> Self {
        Self {
            seq: item.seq,
            id: item.id,
            kind: item.kind,
            sender: item.sender_id,
            temp_id: item.temp_id,
            content: item.content,
            created_at: item.created_at,
            edited_at: item.edited_at,
            deleted: item.deleted,
            reactions: None,
            at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64, prev: u64) -> LogFrame {
        LogFrame {
            room_id: Uuid::nil(),
            id: Uuid::from_u64_pair(0, seq),
            seq,
            prev,
            created_at: "2026-11-21T05:58:48.927Z".to_owned(),
            content: Some(format!("the {seq}th")),
            ..LogFrame::default()
        }
    }

    fn item(seq: u64) -> Item {
        let LogFrame { room_id, id, created_at, content, .. } = frame(seq, 0);
        let kind = "message".to_owned();
        Item {
            kind,
            room_id,
            id,
            seq,
            created_at,
            sender_id: None,
            temp_id: None,
            content,
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    fn live_at(seq: u64) -> View {
        let mut view = View::new(None);
        view.joined(seq, true);
        view
    }

    fn take(view: &mut View, seq: u64, prev: u64) -> Verdict {
        view.take("message", &frame(seq, prev), Instant::now())
    }

    fn seqs(view: &View) -> Vec<u64> {
        view.shown.keys().copied().collect()
    }

    #[test]
    fn frames_in_order_are_shown_and_repeats_are_not() {
        let mut view = live_at(10);
        assert_eq!(take(&mut view, 14, 10), Verdict::Applied);
        assert_eq!(take(&mut view, 14, 10), Verdict::Repeat);
        assert_eq!(take(&mut view, 15, 14), Verdict::Applied);
        assert_eq!(take(&mut view, 9, 8), Verdict::Repeat);
        assert_eq!((seqs(&view), view.last, view.since), (vec![14, 15], Some(15), Some(10)));
        assert!(view.oddities.is_empty());
    }

    #[test]
    fn a_hole_asks_for_one_join_and_shows_nothing_behind_it() {
        let mut view = live_at(10);
        assert_eq!(take(&mut view, 14, 12), Verdict::Hole);
        assert_eq!(view.standing, Standing::Out);
        view.standing = Standing::Joining;
        assert_eq!(take(&mut view, 15, 14), Verdict::Hole);
        assert_eq!(view.standing, Standing::Joining, "one join for one hole");
        for (seq, prev) in [(12, 10), (14, 12), (15, 14)] {
            assert_eq!(take(&mut view, seq, prev), Verdict::Applied);
        }
        view.joined(15, true);
        assert_eq!((seqs(&view), view.holes, view.joins), (vec![12, 14, 15], 1, 2));
        assert!(view.oddities.is_empty());
    }

    #[test]
    fn a_skip_counts_for_the_chain_and_shows_nothing() {
        let mut view = live_at(10);
        assert_eq!(view.skip(11, 10), Verdict::Applied);
        assert_eq!(take(&mut view, 12, 11), Verdict::Applied);
        assert_eq!((seqs(&view), view.skips), (vec![12], vec![11]));
    }

    #[test]
    fn what_history_has_shown_is_not_shown_again() {
        // 3 is in the log but not in the store yet.
        let page = Page {
            items: vec![item(1), item(2), item(4)],
            has_more_before: false,
            has_more_after: false,
            settled_seq: 2,
        };
        let mut view = View::of_history(page, Instant::now());
        assert_eq!(view.last, Some(2));
        let before = view.shown.get(&4).unwrap().at;
        assert_eq!(take(&mut view, 3, 2), Verdict::Applied);
        assert_eq!(take(&mut view, 4, 3), Verdict::Applied);
        assert_eq!(seqs(&view), [1, 2, 3, 4]);
        assert_eq!(view.shown.get(&4).unwrap().at, before);
    }

    fn change(view: &mut View, kind: &str, frame: LogFrame) {
        let of = Uuid::from_u64_pair(0, 11);
        let frame = LogFrame { message_id: Some(of), sender_id: Some(of), ..frame };
        assert_eq!(view.take(kind, &frame, Instant::now()), Verdict::Applied);
    }

    #[test]
    fn a_message_is_shown_as_its_changes_left_it() {
        let mut view = live_at(10);
        take(&mut view, 11, 10);
        let emoji = |seq: u64, action: Action| LogFrame {
            emoji: Some("👍".into()),
            action: Some(action),
            ..frame(seq, seq - 1)
        };
        let count = |view: &View| view.shown[&11].reactions.as_ref().unwrap()["👍"].len();
        change(&mut view, "reaction", emoji(12, Action::Added));
        change(&mut view, "reaction", emoji(13, Action::Added));
        assert_eq!(count(&view), 1, "of one person once");
        change(&mut view, "reaction", emoji(14, Action::Removed));
        assert_eq!(count(&view), 0);
        change(&mut view, "message_updated", frame(15, 14));
        let message = &view.shown[&11];
        assert_eq!((message.content.as_deref(), message.edited_at.is_some()), (Some("the 15th"), true));
        change(&mut view, "message_deleted", frame(16, 15));
        change(&mut view, "message_updated", frame(17, 16));
        assert_eq!((view.shown[&11].content.as_deref(), view.shown[&11].deleted), (None, true));
    }

    #[test]
    fn a_server_that_breaks_its_chain_is_noted() {
        let mut view = live_at(10);
        take(&mut view, 12, 9);
        assert_eq!(view.oddities.len(), 1, "prev below what was told of");
        let mut view = live_at(10);
        take(&mut view, 12, 12);
        assert!(!view.oddities.is_empty(), "prev is not below seq");
        let mut view = View::new(Some(10));
        view.joined(12, true);
        assert_eq!(view.oddities.len(), 1, "a replay that ends too early");
        let mut view = View::new(Some(10));
        view.joined(12, false);
        assert_eq!(view.oddities.len(), 1, "a replay that was refused");
    }
}
