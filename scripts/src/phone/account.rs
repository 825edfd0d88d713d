//! A person with an account: what they do over REST.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rest::{Answer, Rest};

/// Items of one page, as many as the api gives.
const PAGE: usize = 100;
/// Pages of one history: more than any test writes.
const PAGES_MAX: usize = 1000;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who.
    pub id: Uuid,
    /// Their name.
    pub name: String,
    /// Their access token.
    pub token: String,
    rest: Rest,
}

/// An item of history.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Item {
    /// `message` or `system`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where.
    pub room_id: Uuid,
    /// Which message.
    pub id: Uuid,
    /// Where it stands.
    pub seq: u64,
    /// When the log stored it.
    pub created_at: String,
    /// Who said it.
    pub sender_id: Option<Uuid>,
    /// Their own name for it.
    pub temp_id: Option<String>,
    /// What it says now.
    pub content: Option<String>,
    /// When what it says was replaced.
    pub edited_at: Option<String>,
    /// Whether it was taken back.
    pub deleted: bool,
    /// How many people reacted with what.
    pub reactions: Vec<Reaction>,
}

/// How often one emoji stands under a message; whether oneself is among them differs by reader and is left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reaction {
    /// Which.
    pub emoji: String,
    /// How many people.
    pub count: usize,
}

/// A page of history, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// The items.
    pub items: Vec<Item>,
    /// Whether there are older ones.
    pub has_more_before: bool,
    /// Whether there are newer ones.
    pub has_more_after: bool,
    /// Up to here the store has everything.
    pub settled_seq: u64,
}

#[derive(Deserialize)]
struct SignedIn {
    user: User,
    access_token: String,
}

#[derive(Deserialize)]
struct User {
    id: Uuid,
}

#[derive(Deserialize)]
struct Event {
    id: Uuid,
}

#[derive(Deserialize)]
struct Ticket {
    ticket: String,
}

impl Account {
    /// Signs up `name` with an e-mail address nobody has.
    pub async fn register(rest: &Rest, name: &str) -> Result<Self> {
        let email = format!("{}@example.org", Uuid::now_v7().simple());
        let body = json!({ "email": email, "password": "correct horse battery", "display_name": name });
        let answer = rest.call(Method::POST, "/auth/register", None, Some(&body)).await?;
        let SignedIn { user, access_token } = answer.expect(201)?;
        Ok(Self { id: user.id, name: name.to_owned(), token: access_token, rest: rest.clone() })
    }

    /// Signs in on another device.
    pub async fn login(rest: &Rest, email: &str, password: &str, name: &str) -> Result<Self> {
        let body = json!({ "email": email, "password": password });
        let answer = rest.call(Method::POST, "/auth/login", None, Some(&body)).await?;
        let SignedIn { user, access_token } = answer.expect(200)?;
        Ok(Self { id: user.id, name: name.to_owned(), token: access_token, rest: rest.clone() })
    }

    /// Calls `path` (below `/api/v1`) as this person.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.rest.call(method, path, Some(&self.token), body).await
    }

    /// A ticket that opens one socket.
    pub async fn ticket(&self) -> Result<String> {
        let Ticket { ticket } = self.call(Method::POST, "/ws/ticket", None).await?.expect(201)?;
        Ok(ticket)
    }

    /// Makes an appointment with `others`; its id is its room's id.
    pub async fn make_event(&self, title: &str, others: &[&Self]) -> Result<Uuid> {
        let body = json!({
            "title": title,
            "starts_at": "2030-01-01T10:00:00.000Z",
            "ends_at": "2030-01-01T11:00:00.000Z",
            "time_zone": "Asia/Seoul",
            "participant_ids": others.iter().map(|other| other.id).collect::<Vec<_>>(),
        });
        let event: Event = self.call(Method::POST, "/events", Some(&body)).await?.expect(201)?;
        Ok(event.id)
    }

    /// Takes `user` into the event.
    pub async fn add_participant(&self, event: Uuid, user: Uuid) -> Result<()> {
        let body = json!({ "user_id": user });
        let path = format!("/events/{event}/participants");
        let answer = self.call(Method::POST, &path, Some(&body)).await?;
        ensure!(answer.status == 201, "{path}: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// Takes `user` out of the event.
    pub async fn remove_participant(&self, event: Uuid, user: Uuid) -> Result<()> {
        let path = format!("/events/{event}/participants/{user}");
        let answer = self.call(Method::DELETE, &path, None).await?;
        ensure!(answer.status == 204, "{path}: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// Says something without a socket.
    pub async fn post(&self, room: Uuid, temp_id: &str, content: &str) -> Result<Item> {
        let body = json!({ "temp_id": temp_id, "content": content });
        self.call(Method::POST, &format!("/rooms/{room}/messages"), Some(&body)).await?.expect(201)
    }

    /// The newest page of history.
    pub async fn newest_page(&self, room: Uuid) -> Result<Page> {
        self.page(room, &format!("limit={PAGE}")).await
    }

    /// All of a room's history, read from its beginning.
    pub async fn history(&self, room: Uuid) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = items.last().map_or(0, |item| item.seq);
            let page = self.page(room, &format!("after={after}&limit={PAGE}")).await?;
            let is_all = !page.has_more_after || page.items.is_empty();
            items.extend(page.items);
            if is_all {
                return Ok(items);
            }
        }
        anyhow::bail!("the history of {room} has more than {PAGES_MAX} pages")
    }

    /// All of a room's history, read from its end, as a person who scrolls up does.
    pub async fn history_backwards(&self, room: Uuid) -> Result<Vec<Item>> {
        let mut page = self.newest_page(room).await?;
        let mut pages = Vec::new();
        while page.has_more_before && pages.len() < PAGES_MAX {
            let Some(oldest) = page.items.first().map(|item| item.seq) else { break };
            let older = self.page(room, &format!("before={oldest}&limit={PAGE}")).await?;
            pages.push(std::mem::replace(&mut page, older));
        }
        pages.push(page);
        Ok(pages.into_iter().rev().flat_map(|page| page.items).collect())
    }

    async fn page(&self, room: Uuid, query: &str) -> Result<Page> {
        self.call(Method::GET, &format!("/rooms/{room}/messages?{query}"), None).await?.expect(200)
    }
}
