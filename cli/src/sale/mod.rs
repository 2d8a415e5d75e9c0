//! `holdfast sale watch`: a sale as it goes, once a second, until it is told to stop.

mod refused;
mod view;

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::id::ProductId;
use holdfast_common::log;
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use holdfast_common::shutdown;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::refused::Refused;
use self::view::{Seen, View};
use crate::exit::{self, Found};
use crate::queue::Log;
use crate::store::{self, selling::Selling};

/// The most products that are shown at once.
const PRODUCTS_MAX: i64 = 20;
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With more partitions, what waits in them is not looked at.
const PARTITIONS_MAX: usize = 64;

/// What `sale` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show stock, holds and refusals a second and what waits, once a second, until Ctrl-C
    #[command(after_help = exit::HELP)]
    Watch(Watch),
}

#[derive(Args)]
struct Watch {
    /// Only this product [default: the first 20]
    #[arg(long)]
    product: Option<i64>,
    /// End after so many seconds
    #[arg(long = "for")]
    seconds: Option<u64>,
    /// As JSON, an object a second and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let Command::Watch(watch) = options.command;
    let stop = shutdown::signalled();
    tokio::select! {
        ended = show(watch) => ended?,
        heard = stop => heard?,
    }
    Ok(Found::Nothing)
}

async fn show(watch: Watch) -> anyhow::Result<()> {
    let pool = store::open(&watch.postgres, "holdfast-sale").await?;
    let nats = log::connect(&watch.nats, "holdfast", |_| ()).await?;
    let log = Log::find(nats.clone(), &watch.nats).await?;
    let mut refused = Refused::listen(nats, &watch.nats).await?;
    let product = watch.product.map(|id| (ProductId(id).slot().as_i16(), id));
    let (begun, mut turn, mut view) = (Instant::now(), interval(LOOK_EVERY), View::new(watch.json));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Vec<Selling>)> = None;
    loop {
        turn.tick().await;
        let (at, products) = (
            Instant::now(),
            store::selling::products(&pool, product, PRODUCTS_MAX).await?,
        );
        anyhow::ensure!(!products.is_empty(), "there is no such product");
        let leases = store::queue::leases(&pool, watch.nats.partitions.count()).await?;
        let backlog = if leases.len() <= PARTITIONS_MAX {
            Some(log.ahead_of_all(&leases).await?)
        } else {
            None
        };
        let held = |product: &Selling| {
            let (then, earlier) = before.as_ref()?;
            let earlier = earlier
                .iter()
                .find(|earlier| earlier.product_id == product.product_id)?;
            Some(
                (product.hold_sequence - earlier.hold_sequence) as f64 / (at - *then).as_secs_f64(),
            )
        };
        let seen = products.iter().map(|product| Seen {
            product,
            holds_per_second: held(product).unwrap_or(0.0),
        });
        view.show(&seen.collect::<Vec<_>>(), backlog, &refused.turn().await?);
        if watch
            .seconds
            .is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds))
        {
            return Ok(());
        }
        before = Some((at, products));
    }
}
