//! The end of a run: all faults are healed, clients have stopped, and all pending work has to end.
//!
//! Work that is still pending at the deadline is a finding. No other time decides.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::auditor::partitions::uneven_shares;
use crate::auditor::tables::PartitionRow;
use crate::clients::{Market, poll, send};
use crate::cluster::{INGRESSES, PREFIX, WORKERS};
use crate::history::{End, Exchange, PaymentNotice, Request};
use crate::operations::Prefer;

/// How long webhooks without a reply are sent again.
const DELIVER_WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);
/// Requests that are sent at once.
const CONCURRENT_MAX: usize = 16;

/// Pending work: its name, and the query that counts it.
const PENDING: [(&str, &str); 4] = [
    ("active holds", "SELECT count(*) FROM holds WHERE status = 'active'"),
    ("unpaid orders", "SELECT count(*) FROM orders WHERE status = 'pending_payment'"),
    ("due refunds", "SELECT count(*) FROM payments WHERE state = 'refund_due'"),
    (
        "parked payments of ended holds",
        "SELECT count(*) FROM payments JOIN holds ON holds.slot = payments.slot AND hold_id = order_id
         WHERE state = 'parked' AND status <> 'active'",
    ),
];

/// Heals all faults and waits until no work is pending; returns the work that is pending after this wait.
///
/// # Errors
/// When the cluster can't be healed.
pub async fn wait_for_rest(market: &Arc<Market>, wait: Duration) -> anyhow::Result<Vec<String>> {
    for member in &market.cluster.members {
        member.postgres.heal();
        member.nats.heal();
    }
    market.cluster.refunds.calm();
    market.cluster.start_servers().await?;
    market.cluster.start_members().await?;
    let give_up = Instant::now() + wait;
    let mut pending = wait_until_serving(market, give_up).await;
    // Webhooks come before the wait for refunds, because a repeated webhook may be a payment that has to be refunded.
    pending.extend(deliver_webhooks(market).await);
    send_last_holds(market).await;
    loop {
        poll_open(market).await;
        match find_pending(market).await {
            Ok(found) if found.is_empty() => break,
            Ok(found) if Instant::now() >= give_up => {
                pending.extend(found);
                break;
            }
            Err(error) if Instant::now() >= give_up => return Err(error),
            Ok(_) | Err(_) => sleep(POLL).await,
        }
    }
    poll_gone(market).await;
    Ok(pending)
}

/// Waits until every ingress gives an outcome for a hold of every product; returns the ones that do not.
async fn wait_until_serving(market: &Arc<Market>, give_up: Instant) -> Vec<String> {
    let mut silent = Vec::new();
    let pairs = market
        .products
        .iter()
        .flat_map(|product| (0..INGRESSES).map(|ingress| (ingress, *product)));
    for (ingress, product) in pairs.collect::<Vec<_>>() {
        let mut attempt = 0;
        while let Err(reply) = serves(market, ingress, product, attempt).await {
            if Instant::now() >= give_up {
                silent.push(format!(
                    "ingress {ingress} does not serve product {product}: {reply}"
                ));
                break;
            }
            attempt += 1;
            sleep(POLL).await;
        }
    }
    silent
}

/// Whether an ingress gives an outcome for a hold; if not, its reply.
async fn serves(
    market: &Market,
    ingress: usize,
    product: i64,
    attempt: usize,
) -> Result<(), String> {
    let request = Request::Hold {
        product,
        quantity: 1,
        customer: format!("probe-{ingress}-{product}-{attempt}"),
    };
    let number = send(market, ingress, request, None, Prefer::Nothing).await;
    let exchange = &market.history.exchanges()[number];
    exchange
        .outcome()
        .map(|_| ())
        .ok_or_else(|| format!("{:?}", exchange.reply))
}

/// Sends one last hold of every product, and accepts any reply. No later command follows, so nothing but the command itself
/// can cause its outcome.
async fn send_last_holds(market: &Arc<Market>) {
    let mut holds = JoinSet::new();
    for (number, product) in market.products.iter().enumerate() {
        let request = Request::Hold {
            product: *product,
            quantity: 1,
            customer: format!("last-{product}"),
        };
        let market = Arc::clone(market);
        holds.spawn(async move {
            send(&market, number % INGRESSES, request, None, Prefer::Nothing).await
        });
    }
    holds.join_all().await;
}

/// Polls all accepted requests that have no end.
async fn poll_open(market: &Arc<Market>) {
    let open = {
        let exchanges = market.history.exchanges();
        (0..exchanges.len())
            .filter(|number| exchanges[*number].is_open())
            .collect()
    };
    poll_all(market, open).await;
}

/// Polls the requests that got 404 once more: a command may have been applied after that poll.
async fn poll_gone(market: &Arc<Market>) {
    let gone = {
        let exchanges = market.history.exchanges();
        let is_gone =
            |number: &usize| matches!(exchanges[*number].ends.last(), Some((_, End::Gone)));
        (0..exchanges.len()).filter(is_gone).collect()
    };
    poll_all(market, gone).await;
}

async fn poll_all(market: &Arc<Market>, numbers: Vec<usize>) {
    let mut polls = JoinSet::new();
    for number in numbers {
        if polls.len() >= CONCURRENT_MAX {
            polls.join_next().await;
        }
        let market = Arc::clone(market);
        polls.spawn(async move { poll(&market, number % INGRESSES, number).await });
    }
    polls.join_all().await;
}

/// Repeats webhooks without a reply until the deadline; returns those that still have none.
async fn deliver_webhooks(market: &Arc<Market>) -> Vec<String> {
    let give_up = Instant::now() + DELIVER_WAIT;
    while !unanswered(market).is_empty() && Instant::now() < give_up {
        deliver_again(market).await;
    }
    let describe = |(key, notice)| format!("webhook {key} has no reply: {notice:?}");
    unanswered(market).into_iter().map(describe).collect()
}

/// The webhooks, by key and body, of which no delivery had a reply.
fn unanswered(market: &Market) -> HashSet<(String, PaymentNotice)> {
    let exchanges = market.history.exchanges();
    let webhook = |exchange: &Exchange| match (&exchange.request, &exchange.key) {
        (Request::Pay(notice), Some(key)) => Some((key.clone(), notice.clone())),
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

/// Sends each webhook without a reply again, as a payment provider does.
async fn deliver_again(market: &Arc<Market>) {
    let mut deliveries = JoinSet::new();
    for (number, (key, notice)) in unanswered(market).into_iter().enumerate() {
        if deliveries.len() >= CONCURRENT_MAX {
            deliveries.join_next().await;
        }
        let market = Arc::clone(market);
        deliveries.spawn(async move {
            send(
                &market,
                number % INGRESSES,
                Request::Pay(notice),
                Some(key),
                Prefer::Nothing,
            )
            .await
        });
    }
    deliveries.join_all().await;
}

/// The work that is pending now.
async fn find_pending(market: &Market) -> anyhow::Result<Vec<String>> {
    // The position in the log comes first: when the log is applied to its end, the rows show the effects of all requests.
    let pool = market.cluster.pool().await?;
    let mut pending = partitions_behind(market, &pool).await?;
    let open = market
        .history
        .exchanges()
        .iter()
        .filter(|exchange| exchange.is_open())
        .count();
    if open > 0 {
        pending.push(format!("{open} accepted requests have no end"));
    }
    for (name, query) in PENDING {
        let count: i64 = sqlx::query_scalar(query).fetch_one(&pool).await?;
        if count > 0 {
            pending.push(format!("{count} {name}"));
        }
    }
    pending.extend(uneven_shares(&PartitionRow::read(&pool).await?, WORKERS));
    pool.close().await;
    Ok(pending)
}

/// The partitions that have not applied the log to its end.
async fn partitions_behind(market: &Market, pool: &PgPool) -> anyhow::Result<Vec<String>> {
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
    let describe = |(partition, applied, stream): &(i16, i64, chrono::DateTime<chrono::Utc>)| {
        format!(
            "partition {partition} has applied {applied} of the log of {stream}; the log of {created} ends at {end}"
        )
    };
    Ok(positions.iter().filter(is_behind).map(describe).collect())
}
