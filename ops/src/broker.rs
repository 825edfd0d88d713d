//! NATS as the processes use it: quick to notice a dead server, jittered in coming back, and with an
//! inbox of its own for each service so that permissions can be narrow.

use std::time::Duration;

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
    changes: broadcast::Sender<LinkChange>,
}

/// Something that may have cost messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
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
        let (changes, _nobody_yet) = broadcast::channel(LINK_CHANGES_MAX);
        let sender = changes.clone();
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
                let sender = sender.clone();
                async move { note(&sender, &event) }
            })
            .connect(servers)
            .await?;
        let mut js = jetstream::new(client.clone());
        js.set_timeout(REQUEST_WITHIN);
        Ok(Broker { client, js, changes })
    }

    fn servers(&self) -> Result<Vec<async_nats::ServerAddr>, BadSetting> {
        let parse = |url: &str| {
            url.trim()
                .parse()
                // The parser's own words may quote the address, and so the password.
                .map_err(|_may_hold_the_password| BadSetting::new("NATS_URL", "is not a nats:// address"))
        };
        self.nats_url.expose_secret().split(',').map(parse).collect()
    }
}

impl Broker {
    /// Hears of every event that may have cost messages.
    pub fn link_changes(&self) -> broadcast::Receiver<LinkChange> {
        self.changes.subscribe()
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
}

/// The user and password of the first address that has them: async-nats takes none out of an address, and
/// all servers of a cluster know the same users.
fn credentials(servers: &[async_nats::ServerAddr]) -> ConnectOptions {
    let named = servers.iter().find_map(|server| Some((server.username()?, server.password()?)));
    named.map_or_else(ConnectOptions::new, |(user, password)| {
        ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
    })
}

/// 100 ms, doubled up to 2 s, and half of it left to chance: a thousand clients do not come at once.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.min(5)).unwrap_or(5);
    let longest = Duration::from_millis(100 * 2_u64.pow(doublings)).min(Duration::from_secs(2));
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

fn note(changes: &broadcast::Sender<LinkChange>, event: &Event) {
    let change = match event {
        Event::Connected => {
            tracing::info!("nats: connected");
            LinkChange::Reconnected
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
    // Nobody listening is fine: whoever subscribes later starts from a resync.
    drop(changes.send(change));
}
