//! The task behind a phone: it keeps a socket, comes back with jitter when that is lost, and tells the ledger everything.

use std::time::Duration;

use rand::RngExt as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    frame::Incoming,
    ledger::{End, Ledger},
    socket::{Credential, Goodbye, OpenError, Socket, Spoken},
    view::View,
};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Longer than anybody asks a phone to wait; stands for "until something happens".
const FOREVER: Duration = Duration::from_hours(1);

/// What the phone's owner wants.
#[derive(Debug)]
pub(super) enum Wish {
    Open {
        room: Uuid,
        view: Box<View>,
    },
    Say {
        room: Uuid,
        temp_id: String,
        text: String,
        at: Instant,
    },
    /// Lose the socket, as in a tunnel.
    Drop,
}

/// Everything the task owns.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: String,
    pub(super) gateways: Vec<String>,
    /// Index of the gateway to try next.
    pub(super) next_gateway: usize,
    pub(super) ledger: watch::Sender<Ledger>,
    pub(super) wishes: mpsc::Receiver<Wish>,
}

/// What to do after a socket.
enum After {
    ComeBack {
        no_sooner_than: Duration,
    },
    End(End),
    /// The owner has put the phone away.
    Gone,
}

impl Session {
    pub(super) async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            let after = match self.connect().await {
                Ok(socket) => {
                    failures = 0;
                    self.tell(|ledger, _| ledger.gain_socket());
                    let after = self.talk(socket).await;
                    self.tell(Ledger::lose_socket);
                    after
                }
                Err(after) => after,
            };
            let no_sooner_than = match after {
                After::ComeBack { no_sooner_than } => no_sooner_than,
                After::End(end) => {
                    self.tell(|ledger, _| ledger.end = Some(end));
                    return;
                }
                After::Gone => return,
            };
            let pause = pause(failures).max(no_sooner_than);
            failures = failures.saturating_add(1);
            if !self.wait(pause).await {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Result<Socket, After> {
        let gateway = self.gateways.get(self.next_gateway % self.gateways.len().max(1)).cloned().unwrap_or_default();
        self.next_gateway += 1;
        match Socket::open(&gateway, "", &Credential::Header(self.token.clone())).await {
            Ok(socket) => Ok(socket),
            // Too many, or on its way out: another gateway may have room.
            Err(OpenError::Refused { status: 429 | 500..=599, .. } | OpenError::Lost(_)) => {
                Err(After::ComeBack { no_sooner_than: Duration::ZERO })
            }
            Err(OpenError::Refused { status, .. }) => Err(After::End(End::Refused { status })),
        }
    }

    /// Talks until the socket is gone.
    async fn talk(&mut self, mut socket: Socket) -> After {
        let mut no_sooner_than = Duration::ZERO;
        loop {
            let mut work = super::ledger::Work::default();
            self.tell(|ledger, now| work = ledger.work(now));
            for frame in &work.frames {
                if socket.say(frame).await.is_err() {
                    return After::ComeBack { no_sooner_than };
                }
            }
            let next = work.next.unwrap_or_else(|| Instant::now() + FOREVER);
            tokio::select! {
                spoken = socket.hear() => match spoken {
                    Spoken::Frame(frame, _) => {
                        if let Incoming::Reconnect { after_ms } = frame {
                            no_sooner_than = Duration::from_millis(after_ms);
                        }
                        self.tell(|ledger, now| ledger.hear(frame, now));
                    }
                    Spoken::Nonsense(what) => self.tell(|ledger, _| ledger.odd(format!("nonsense: {what}"))),
                    Spoken::Ended(goodbye) => return after(goodbye, no_sooner_than),
                },
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Drop) => return After::ComeBack { no_sooner_than },
                    Some(wish) => self.grant(wish),
                    None => {
                        socket.close().await;
                        return After::Gone;
                    }
                },
                () = sleep_until(next) => {}
            }
        }
    }

    /// Waits before the next try; `false` when the phone was put away meanwhile.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.grant(wish),
                    None => return false,
                },
            }
        }
    }

    fn grant(&self, wish: Wish) {
        self.tell(|ledger, _| match wish {
            Wish::Open { room, view } => ledger.open(room, *view),
            Wish::Say { room, temp_id, text, at } => ledger.intend(temp_id, room, text, at),
            // There is no socket to lose.
            Wish::Drop => {}
        });
    }

    fn tell(&self, what: impl FnOnce(&mut Ledger, Instant)) {
        let now = Instant::now();
        self.ledger.send_modify(|ledger| what(ledger, now));
    }
}

fn after(goodbye: Goodbye, no_sooner_than: Duration) -> After {
    match goodbye.code {
        // 1006 is a connection that broke; the rest are the codes that promise that coming back makes sense.
        1006 | 1012 | 4000..=4499 => After::ComeBack { no_sooner_than },
        code => After::End(End::Closed { code, reason: goodbye.reason }),
    }
}

/// Doubled with every failure, and half of it left to chance: a thousand phones do not come at once.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(PAUSE_MAX);
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_up_to_its_limit_and_is_never_twice_the_same() {
        assert!((0..100).all(|_| (PAUSE_MIN / 2..PAUSE_MIN).contains(&pause(0))));
        assert!((0..100).all(|_| (PAUSE_MAX / 2..PAUSE_MAX).contains(&pause(1000))));
    }

    #[test]
    fn a_phone_comes_back_when_the_code_says_so() {
        let comes_back =
            |code| matches!(after(Goodbye { code, reason: String::new() }, Duration::ZERO), After::ComeBack { .. });
        assert!([1006, 1012, 4000, 4001, 4499].into_iter().all(comes_back));
        assert!(![1000, 1002, 1009, 4500, 4501, 4999].into_iter().any(comes_back));
    }
}
