//! What is measured, a module a kind. Each measurement has a product of its own, each kind a sale of its own.

pub(crate) mod cost;
pub(crate) mod hot;

mod baselines;
mod checkouts;
mod crowd;
mod events;
mod expiry;
mod filled;
mod products;
mod sync;

use std::fmt;

use clap::ValueEnum;

use crate::bench::Bench;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Everything below
    All,
    /// The ingress's empty handler: the ceiling
    Bare,
    /// A hold by SELECT … FOR UPDATE
    RowLock,
    /// A hold by one conditional UPDATE
    Conditional,
    /// A hold by a counter in Redis, where there is one; not durable
    Redis,
    /// One hot product with stock enough
    Holds,
    /// The same, sold out
    SoldOut,
    /// A product's page: while nobody buys, and while many do
    Reads,
    /// A hold, its order and the webhook that pays it
    Checkouts,
    /// 1,000 products, evenly and by Zipf
    Products,
    /// 10,000 buyers at once for 1,000 units
    Crowd,
    /// 100,000 holds that nobody orders
    Expiry,
    /// A million holds in the tables
    Million,
    /// 1, 2, 4 and 8 worker processes
    Workers,
    /// NATS with and without its syncs
    Sync,
    /// 5,000 who watch the stock while it is sold
    Events,
    /// CPU time of a hold, from 1,000 to 30,000 a second
    Cost,
    /// Memory over time, with 10,000 connections and a million holds
    Memory,
}

impl Scenario {
    /// Those that were named, all of them in place of `all`.
    pub(crate) fn named(named: &[Self]) -> Vec<Self> {
        let all = || {
            Self::value_variants()
                .iter()
                .copied()
                .filter(|scenario| *scenario != Self::All)
        };
        named
            .iter()
            .flat_map(|one| {
                if *one == Self::All {
                    all().collect()
                } else {
                    vec![*one]
                }
            })
            .collect()
    }

    /// Measures it.
    ///
    /// # Errors
    /// When the auditor finds something wrong, or a part breaks.
    pub(crate) async fn run(self, bench: &mut Bench) -> anyhow::Result<()> {
        match self {
            Self::All => Ok(()),
            Self::Bare => hot::bare(bench).await,
            Self::RowLock => baselines::row_lock(bench).await,
            Self::Conditional => baselines::conditional(bench).await,
            Self::Redis => baselines::redis(bench).await,
            Self::Holds => hot::holds(bench).await,
            Self::SoldOut => hot::sold_out(bench).await,
            Self::Reads => hot::reads(bench).await,
            Self::Checkouts => checkouts::checkouts(bench).await,
            Self::Products => products::products(bench).await,
            Self::Crowd => crowd::crowd(bench).await,
            Self::Expiry => expiry::expiry(bench).await,
            Self::Million => filled::million(bench).await,
            Self::Workers => products::workers(bench).await,
            Self::Sync => sync::sync(bench).await,
            Self::Events => events::events(bench).await,
            Self::Cost => cost::cost(bench).await,
            Self::Memory => filled::memory(bench).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
