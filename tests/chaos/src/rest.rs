//! Coming to rest: everything is healed, clients have stopped, and what was begun ends.
//!
//! A deadline, and no other time, decides: what is not at rest by then is a finding.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::auditor::ownership::uneven;
use crate::auditor::tables::PartitionRow;
use crate::clients::{Market, ask, poll};
use crate::cluster::{INGRESSES, PREFIX, WORKERS};
use crate::operations::Prefer;
use crate::record::{Asked, End, Exchange, Notice};

/// How long webhooks are delivered again while all else is at rest.
const DELIVER_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many requests are asked for at once.
const AT_ONCE: usize = 16;

/// What is not at rest, each with how many there are.
const RESTLESS: [(&str, &str); 4] = [
    ("active holds", "SELECT count(*) FROM holds WHERE status = 'active'"),
    ("unpaid orders", "SELECT count(*) FROM orders WHERE status = 'pending_payment'"),
    ("refunds that are due", "SELECT count(*) FROM payments WHERE state = 'refund_due'"),
    (
        "parked payments of ended holds",
        "SELECT count(*) FROM payments JOIN holds ON holds.slot = payments.slot AND hold_id = order_id
         WHERE state = 'parked' AND status <> 'active'",
    ),
];

/// Heals everything and waits until all is at rest; says what is not when it has taken so long.
///
/// # Errors
/// When the cluster can't be healed.
pub async fn come_to_rest(market: &Arc<Market>, wait: Duration) -> anyhow::Result<Vec<String>> {
    for member in &market.cluster.members {
        member.postgres.heal();
        member.nats.heal();
    }
    market.cluster.refunds.calm();
    market.cluster.start_servers().await?;
    market.cluster.start_members().await?;
    let give_up = Instant::now() + wait;
    let mut restless = serve_again(market, give_up).await;
    // A webhook that was lost is a payment only now, and may be owed back: before what is due is waited for.
    restless.extend(answer_webhooks(market).await);
    last_holds(market).await;
    loop {
        poll_open(market).await;
        match look(market).await {
            Ok(found) if found.is_empty() => break,
            Ok(found) if Instant::now() >= give_up => {
                restless.extend(found);
                break;
            }
            Err(error) if Instant::now() >= give_up => return Err(error),
            Ok(_) | Err(_) => sleep(LOOK_EVERY).await,
        }
    }
    poll_gone(market).await;
    Ok(restless)
}

/// Every ingress answers a hold of every product again.
async fn serve_again(market: &Arc<Market>, give_up: Instant) -> Vec<String> {
    let mut silent = Vec::new();
    let shops = market
        .products
        .iter()
        .flat_map(|product| (0..INGRESSES).map(|ingress| (ingress, *product)));
    for (ingress, product) in shops.collect::<Vec<_>>() {
        let mut attempt = 0;
        while let Err(told) = serves(market, ingress, product, attempt).await {
            if Instant::now() >= give_up {
                silent.push(format!(
                    "ingress {ingress} does not serve product {product} again: {told}"
                ));
                break;
            }
            attempt += 1;
            sleep(LOOK_EVERY).await;
        }
    }
    silent
}

/// Whether an ingress gives a hold's outcome; else what it told.
async fn serves(
    market: &Market,
    ingress: usize,
    product: i64,
    attempt: usize,
) -> Result<(), String> {
    let asked = Asked::Hold {
        product,
        quantity: 1,
        customer: format!("probe-{ingress}-{product}-{attempt}"),
    };
    let number = ask(market, ingress, asked, None, Prefer::Nothing).await;
    let exchange = &market.journal.exchanges()[number];
    exchange
        .outcome()
        .map(|_| ())
        .ok_or_else(|| format!("{:?}", exchange.told))
}

/// The last that is asked for: a hold of every product, once, whatever it is answered. Nothing comes behind them, so each has
/// to end by what was done for it alone.
async fn last_holds(market: &Arc<Market>) {
    let mut holds = JoinSet::new();
    for (number, product) in market.products.iter().enumerate() {
        let asked = Asked::Hold {
            product: *product,
            quantity: 1,
            customer: format!("last-{product}"),
        };
        let market = Arc::clone(market);
        holds.spawn(
            async move { ask(&market, number % INGRESSES, asked, None, Prefer::Nothing).await },
        );
    }
    holds.join_all().await;
}

/// Asks for everything that was accepted and has no end.
async fn poll_open(market: &Arc<Market>) {
    let open = {
        let exchanges = market.journal.exchanges();
        (0..exchanges.len())
            .filter(|number| exchanges[*number].is_open())
            .collect()
    };
    poll_all(market, open).await;
}

/// Asks once more for what was gone: it may have been applied just then.
async fn poll_gone(market: &Arc<Market>) {
    let gone = {
        let exchanges = market.journal.exchanges();
        let is_gone =
            |number: &usize| matches!(exchanges[*number].ends.last(), Some((_, End::Gone)));
        (0..exchanges.len()).filter(is_gone).collect()
    };
    poll_all(market, gone).await;
}

async fn poll_all(market: &Arc<Market>, numbers: Vec<usize>) {
    let mut polls = JoinSet::new();
    for number in numbers {
        if polls.len() >= AT_ONCE {
            polls.join_next().await;
        }
        let market = Arc::clone(market);
        polls.spawn(async move { poll(&market, number % INGRESSES, number).await });
    }
    polls.join_all().await;
}

/// At rest every webhook is answered; says which is not, though it is delivered again and again.
async fn answer_webhooks(market: &Arc<Market>) -> Vec<String> {
    let give_up = Instant::now() + DELIVER_WAIT;
    while !unanswered(market).is_empty() && Instant::now() < give_up {
        deliver_again(market).await;
    }
    let tell = |(key, notice)| format!("webhook {key} is not answered: {notice:?}");
    unanswered(market).into_iter().map(tell).collect()
}

/// The webhooks, by key and body, of which no delivery had an answer.
fn unanswered(market: &Market) -> HashSet<(String, Notice)> {
    let exchanges = market.journal.exchanges();
    let webhook = |exchange: &Exchange| match (&exchange.asked, &exchange.key) {
        (Asked::Pay(notice), Some(key)) => Some((key.clone(), notice.clone())),
        _ => None,
    };
    let mut open: HashSet<_> = exchanges.iter().filter_map(webhook).collect();
    for answered in exchanges
        .iter()
        .filter(|exchange| exchange.outcome().is_some())
        .filter_map(webhook)
    {
        open.remove(&answered);
    }
    open
}

/// A provider comes again until it is answered.
async fn deliver_again(market: &Arc<Market>) {
    let mut deliveries = JoinSet::new();
    for (number, (key, notice)) in unanswered(market).into_iter().enumerate() {
        if deliveries.len() >= AT_ONCE {
            deliveries.join_next().await;
        }
        let market = Arc::clone(market);
        deliveries.spawn(async move {
            ask(
                &market,
                number % INGRESSES,
                Asked::Pay(notice),
                Some(key),
                Prefer::Nothing,
            )
            .await
        });
    }
    deliveries.join_all().await;
}

/// What is not at rest now.
async fn look(market: &Market) -> anyhow::Result<Vec<String>> {
    // First how far the log is applied: what the rows say then is of all that was asked.
    let pool = market.cluster.pool().await?;
    let mut restless = behind(market, &pool).await?;
    let open = market
        .journal
        .exchanges()
        .iter()
        .filter(|exchange| exchange.is_open())
        .count();
    if open > 0 {
        restless.push(format!("{open} accepted requests have no end"));
    }
    for (what, query) in RESTLESS {
        let count: i64 = sqlx::query_scalar(query).fetch_one(&pool).await?;
        if count > 0 {
            restless.push(format!("{count} {what}"));
        }
    }
    restless.extend(uneven(&PartitionRow::read(&pool).await?, WORKERS));
    pool.close().await;
    Ok(restless)
}

/// Partitions that are not at the log's end.
async fn behind(market: &Market, pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let client = market.cluster.nats().await?;
    let log = async_nats::jetstream::new(client);
    let log = log
        .get_stream(format!("{PREFIX}-commands"))
        .await
        .context("the log's stream")?;
    let (created, end) = (
        log.cached_info().created,
        log.cached_info().state.last_sequence,
    );
    let positions: Vec<(i16, i64, chrono::DateTime<chrono::Utc>)> =
        sqlx::query_as("SELECT partition, applied_seq, stream_created FROM partitions")
            .fetch_all(pool)
            .await?;
    let is_behind = |(_, applied, stream): &&(i16, i64, chrono::DateTime<chrono::Utc>)| {
        applied.cast_unsigned() < end || stream.timestamp_micros() != created.timestamp_micros()
    };
    let tell = |(partition, applied, stream): &(i16, i64, chrono::DateTime<chrono::Utc>)| {
        format!(
            "partition {partition} is at {applied} of {stream}, the log's end {end} of {created}"
        )
    };
    Ok(positions.iter().filter(is_behind).map(tell).collect())
}
