//! `holdfast sale watch`: prints the state of a sale once a second.

mod refusals;
mod view;

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::id::ProductId;
use holdfast_common::log;
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use holdfast_common::shutdown;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::refusals::RefusalCounter;
use self::view::{ProductLine, View};
use crate::exit::{self, Verdict};
use crate::output::ListOutput;
use crate::queue::LogCounter;
use crate::store::{self, selling::ProductCounts};

const PRODUCTS_MAX: i64 = 20;
const INTERVAL: Duration = Duration::from_secs(1);
/// With more partitions, counting the backlog takes too long for each second.
const PARTITIONS_MAX: usize = 64;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print stock, holds per second, refusals per second and the backlog once a second until Ctrl-C
    #[command(after_help = exit::HELP)]
    Watch(Watch),
}

#[derive(Args)]
struct Watch {
    /// Watch this product only [default: the first 20]
    #[arg(long)]
    product: Option<i64>,
    /// Stop after this many seconds
    #[arg(long = "for")]
    seconds: Option<u64>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let Command::Watch(watch) = options.command;
    tokio::select! {
        result = follow(watch) => result?,
        signalled = shutdown::signalled() => signalled?,
    }
    Ok(Verdict::Ok)
}

async fn follow(watch: Watch) -> anyhow::Result<()> {
    let pool = store::open(&watch.postgres, "holdfast-sale").await?;
    let nats = log::connect(&watch.nats, "holdfast", |_| ()).await?;
    let log = LogCounter::open(nats.clone(), &watch.nats).await?;
    let mut refusals = RefusalCounter::subscribe(nats, &watch.nats).await?;
    let product = watch.product.map(|id| (ProductId(id).slot().as_i16(), id));
    let mut view = View::new(watch.output.json);
    let (start, mut ticks) = (Instant::now(), interval(INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Vec<ProductCounts>)> = None;
    loop {
        ticks.tick().await;
        let at = Instant::now();
        let products = store::selling::products(&pool, product, PRODUCTS_MAX).await?;
        anyhow::ensure!(!products.is_empty(), "there is no such product");
        let leases = store::queue::leases(&pool, watch.nats.partitions.count()).await?;
        let backlog = if leases.len() <= PARTITIONS_MAX {
            Some(log.total_backlog(&leases).await?)
        } else {
            None
        };
        let lines: Vec<_> = products
            .iter()
            .map(|product| ProductLine {
                product,
                holds_per_second: holds_per_second(product, at, before.as_ref()),
            })
            .collect();
        view.show(&lines, backlog, &refusals.next_second().await?);
        if watch
            .seconds
            .is_some_and(|seconds| start.elapsed() >= Duration::from_secs(seconds))
        {
            return Ok(());
        }
        before = Some((at, products));
    }
}

/// New holds of a product per second since the earlier counts, or 0 when there are none.
fn holds_per_second(
    product: &ProductCounts,
    at: Instant,
    before: Option<&(Instant, Vec<ProductCounts>)>,
) -> f64 {
    let Some((then, earlier)) = before else {
        return 0.0;
    };
    let mut earlier = earlier.iter();
    earlier
        .find(|earlier| earlier.product_id == product.product_id)
        .map_or(0.0, |earlier| {
            let holds = product.hold_sequence - earlier.hold_sequence;
            holds as f64 / (at - *then).as_secs_f64()
        })
}
