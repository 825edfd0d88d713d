//! A stack with people in it.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
pub(crate) use chaos::Person;
use scripts::{
    phone::{Account, Phone, Rest},
    stack::{Plan, Store, TestStack},
};
use tokio::time::timeout;
use uuid::Uuid;

/// How long a phone may take to have its rooms live.
pub(crate) const LIVE_WITHIN: Duration = Duration::from_secs(20);
/// How long a whole test may take, its stack's start included.
const TEST_WITHIN: Duration = Duration::from_secs(90);

/// A running stack.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) stack: TestStack,
    pub(crate) rest: Rest,
    pub(crate) gateways: Vec<String>,
}

/// A stack of two gateways whose phones may talk as fast as they can.
pub(crate) fn plan(store: Store) -> Plan {
    Plan::for_test().store(store).gateways(2).limits(false)
}

/// A stack's folder goes with it; its logs stay, for whoever asks why a test failed.
impl Drop for House {
    fn drop(&mut self) {
        let Some(from) = self.stack.log_file("api").parent().map(Path::to_owned) else { return };
        keep_logs(&from, &logs_folder()).ok();
    }
}

fn keep_logs(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|extension| extension == "log")) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Where the logs of this test's last stack are; the test runner names the thread after the test.
fn logs_folder() -> PathBuf {
    let test = thread::current().name().unwrap_or("unnamed").replace("::", "-");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("end_to_end").join(test)
}

impl House {
    pub(crate) async fn start(plan: Plan) -> Result<Self> {
        let stack = TestStack::start(plan).await?;
        let (rest, gateways) = (Rest::new(&stack.api_url()?)?, stack.gateway_urls()?);
        Ok(Self { stack, rest, gateways })
    }

    /// Somebody who has signed up and has no phone yet.
    pub(crate) async fn account(&self, name: &str) -> Result<Account> {
        Account::register(&self.rest, name).await
    }

    /// Somebody whose phone tries the `first`th gateway (from 0) first.
    pub(crate) async fn person(&self, name: &str, first: usize) -> Result<Person> {
        let account = self.account(name).await?;
        let phone = Phone::start(&account, &self.gateways, first);
        Ok(Person { account, phone })
    }

    /// The `n`th gateway's address (from 0).
    pub(crate) fn gateway(&self, n: usize) -> Result<&str> {
        self.gateways.get(n).map(String::as_str).with_context(|| format!("there is no gateway {n}"))
    }
}

/// Everybody opens all of `rooms` from their beginning; returns when all are live.
pub(crate) async fn enter(people: &[Person], rooms: &[Uuid]) -> Result<()> {
    for person in people {
        for room in rooms {
            person.phone.join(*room, Some(0)).await?;
        }
    }
    for person in people {
        let all_live = |ledger: &scripts::phone::Ledger| rooms.iter().all(|room| ledger.is_live(*room));
        person.phone.until("joining the rooms", LIVE_WITHIN, all_live).await?;
    }
    Ok(())
}

/// Runs a test that must not take longer than it may.
pub(crate) async fn bounded(test: impl Future<Output = Result<()>> + Send) -> Result<()> {
    let result = timeout(TEST_WITHIN, Box::pin(test)).await;
    let result = result.unwrap_or_else(|_elapsed| bail!("the test took more than {TEST_WITHIN:?}"));
    result.with_context(|| format!("the stack's logs are in {}", logs_folder().display()))
}
