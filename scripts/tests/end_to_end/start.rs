//! The first moments of a process.

use anyhow::{Result, anyhow};
use futures_util::future::try_join_all;
use scripts::{
    phone::{Credential, Socket},
    stack::Store,
};

use crate::house::{House, bounded, plan};

/// As come at once when a gateway is back.
const SOCKETS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_has_just_started_turns_nobody_away_until_it_knows_the_keys() -> Result<()> {
    bounded(first_sockets()).await
}

async fn first_sockets() -> Result<()> {
    let house = House::start(plan(Store::Postgres)).await?;
    let ann = house.account("Ann").await?;
    let gateway = house.gateway(0)?;
    for _ in 0..3 {
        house.stack.restart("gateway-1").await?;
        let opening = (0..SOCKETS).map(|_| async {
            let opened = Socket::open(gateway, "", &Credential::Header(ann.token.clone())).await;
            opened.map_err(|error| anyhow!("{error:?}"))
        });
        try_join_all(opening).await?;
    }
    Ok(())
}
