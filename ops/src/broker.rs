//! NATS as the processes use it: quick to notice a dead server, jittered in coming back, and with an
//! inbox of its own for each service so that permissions can be narrow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, jetstream};
use rand::RngExt as _;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::broadcast;

use crate::settings::BadSetting;

/// Where NATS is.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerSettings {
    /// NATS servers, with commas, as `nats://user:password@host:port`.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: SecretString,
    /// Seconds between pings of the NATS server; two without an answer are a lost connection.
    #[arg(long, env = "NATS_PING_SECS", default_value = "10", value_parser = crate::settings::seconds)]
    pub nats_ping: Duration,
}

/// A connection to NATS, and what happens to it.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Core NATS.
    pub client: Client,
    /// JetStream.
    pub js: jetstream::Context,
    link: Link,
}

/// What is known of the connection.
#[derive(Clone, Debug)]
struct Link {
    /// Raised whenever the connection is lost or there again.
    number: Arc<AtomicU64>,
    changes: broadcast::Sender<LinkChange>,
}

/// Something that may cost, or have cost, messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// The connection is gone: what is sent from now on is not heard.
    Lost,
    /// The connection is there again: what was sent meanwhile was not heard.
    Reconnected,
    /// A subscription's queue overflowed: messages were dropped, of which one the client can not tell.
    Overflowed,
}

/// How long a request to JetStream may take.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// Link changes a slow listener may lag behind before it is told that it missed some.
const LINK_CHANGES_MAX: usize = 64;

impl BrokerSettings {
    /// Checks the addresses.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.servers().map(drop)
    }

    /// Connects, or keeps trying in the background: a process starts, red, without its broker.
    /// `service` names the connection and its inbox.
    pub async fn connect(&self, service: &str) -> anyhow::Result<Broker> {
        let link = Link::new();
        let noted = link.clone();
        let servers = self.servers()?;
        let client = credentials(&servers)
            .name(service)
            .custom_inbox_prefix(format!("_INBOX.{service}"))
            .ping_interval(self.nats_ping)
            .request_timeout(Some(REQUEST_WITHIN))
            .connection_timeout(Duration::from_secs(2))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let link = noted.clone();
                async move { link.note(&event) }
            })
            .connect(servers.iter().map(without_credentials).collect::<Result<Vec<_>, _>>()?)
            .await?;
        let mut js = jetstream::new(client.clone());
        js.set_timeout(REQUEST_WITHIN);
        Ok(Broker { client, js, link })
    }

    fn servers(&self) -> Result<Vec<async_nats::ServerAddr>, BadSetting> {
        let parse = |url: &str| {
            // The parser's own words may quote the address, and so the password.
            let refuse = || BadSetting::new("NATS_URL", "is not a nats:// address");
            let server: async_nats::ServerAddr = url.trim().parse().map_err(|_may_hold_the_password| refuse())?;
            // It takes an empty text for an address.
            if server.host().is_empty() { Err(refuse()) } else { Ok(server) }
        };
        self.nats_url.expose_secret().split(',').map(parse).collect()
    }
}

impl Broker {
    /// Hears of every event that may have cost messages.
    pub fn link_changes(&self) -> broadcast::Receiver<LinkChange> {
        self.link.changes.subscribe()
    }

    /// The connection's number: another one whenever it was lost, or came back.
    pub fn link(&self) -> u64 {
        // Of events the client drops some when too many come at once; of its own count it drops none.
        let connects = self.client.statistics().connects.load(Ordering::Acquire);
        self.link.number.load(Ordering::Acquire) + connects
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
}

/// Which error JetStream answered a publish with, if that is why it failed.
pub fn code_of(error: &jetstream::context::PublishError) -> Option<jetstream::ErrorCode> {
    use std::error::Error as _;
    error.source().and_then(|source| source.downcast_ref::<jetstream::Error>()).map(jetstream::Error::error_code)
}

/// The user and password of the first address that has them: async-nats takes none out of an address, and
/// all servers of a cluster know the same users.
fn credentials(servers: &[async_nats::ServerAddr]) -> ConnectOptions {
    let named = servers.iter().find_map(|server| Some((server.username()?, server.password()?)));
    named.map_or_else(ConnectOptions::new, |(user, password)| {
        ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
    })
}

/// The same address without user and password: the client writes its addresses into the log.
fn without_credentials(server: &async_nats::ServerAddr) -> Result<async_nats::ServerAddr, std::io::Error> {
    let text = server.as_url_str();
    let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
    let (_credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    format!("{scheme}://{place}").parse()
}

/// 100 ms, doubled up to 2 s, and half of it left to chance: a thousand clients do not come at once. Attempts count
/// from 1.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).min(5)).unwrap_or(5);
    let longest = Duration::from_millis(100 * 2_u64.pow(doublings)).min(Duration::from_secs(2));
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

impl Link {
    fn new() -> Self {
        let (changes, _nobody_yet) = broadcast::channel(LINK_CHANGES_MAX);
        Self { number: Arc::default(), changes }
    }

    fn note(&self, event: &Event) {
        let change = match event {
            Event::Connected => {
                tracing::info!("nats: connected");
                LinkChange::Reconnected
            }
            Event::Disconnected => {
                tracing::warn!("nats: the link is lost");
                LinkChange::Lost
            }
            Event::SlowConsumer(subscription) => {
                tracing::warn!(subscription, "nats: messages of a subscription were dropped");
                LinkChange::Overflowed
            }
            other => {
                tracing::warn!(event = %other, "nats: link");
                return;
            }
        };
        if change != LinkChange::Overflowed {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        // Nobody listening is fine: whoever subscribes later starts from a resync.
        drop(self.changes.send(change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_the_log_holds_no_password() {
        let check = |address: &str, expected: &str| {
            let server = address.parse().expect("an address");
            assert_eq!(without_credentials(&server).expect("an address").as_url_str(), expected);
        };
        check("nats://api:canary@127.0.0.1:4222", "nats://127.0.0.1:4222");
        check("tls://api:canary@nats.example.org:4222", "tls://nats.example.org:4222");
        check("nats://127.0.0.1:4222", "nats://127.0.0.1:4222");
    }

    fn settings(url: &str) -> BrokerSettings {
        BrokerSettings { nats_url: url.into(), nats_ping: Duration::from_secs(10) }
    }

    #[test]
    fn a_wrong_address_names_the_variable_and_not_the_password() {
        for url in ["", "http://gateway:s3cret@localhost", "nats://gateway:s3cret@localhost:port", "nats://a,,nats://b"]
        {
            let error = settings(url).check().expect_err(url).to_string();
            assert!(error.starts_with("NATS_URL "), "{url} says {error}");
            assert!(!error.contains("s3cret"), "{url} says {error}");
        }
        assert!(!format!("{:?}", settings("nats://gateway:s3cret@localhost")).contains("s3cret"));
    }

    #[test]
    fn a_cluster_is_a_list() {
        let servers = settings("nats://gateway:pw@a:4222, nats://b:4223").servers().expect("two addresses");
        let hosts: Vec<_> = servers.iter().map(|server| (server.host(), server.port())).collect();
        assert_eq!(hosts, [("a", 4222), ("b", 4223)]);
    }

    #[test]
    fn coming_back_is_slower_each_time_never_slow_and_never_in_step() {
        for (attempts, longest) in [(1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (1_000_000, 2000)] {
            let longest = Duration::from_millis(longest);
            let delays: Vec<_> = (0..100).map(|_| reconnect_delay(attempts)).collect();
            assert!(delays.iter().all(|delay| (longest / 2..=longest).contains(delay)), "{attempts}: {delays:?}");
            assert!(delays.iter().any(|delay| *delay != delays[0]), "{attempts}");
        }
    }

    #[test]
    fn only_what_may_have_cost_messages_is_passed_on() {
        let link = Link::new();
        let mut heard = link.changes.subscribe();
        for event in [Event::Disconnected, Event::Connected, Event::LameDuckMode, Event::SlowConsumer(7)] {
            link.note(&event);
        }
        assert_eq!(heard.try_recv(), Ok(LinkChange::Lost));
        assert_eq!(heard.try_recv(), Ok(LinkChange::Reconnected));
        assert_eq!(heard.try_recv(), Ok(LinkChange::Overflowed));
        assert_eq!(heard.try_recv(), Err(broadcast::error::TryRecvError::Empty));
        assert_eq!(link.number.load(Ordering::Acquire), 2, "lost, and there again");
    }
}
