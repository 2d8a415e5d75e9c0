//! The measurements, one module for each group. Each scenario starts its own sale, and each measurement uses its own
//! products.

mod baselines;
mod checkouts;
mod cost;
mod crowd;
mod events;
mod expiry;
mod filled;
mod hot;
mod products;
mod sync;

use std::fmt;

use clap::ValueEnum;

use crate::bench::Bench;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// All scenarios below
    All,
    /// Bare HTTP: the empty handler of the ingress, the upper limit
    Bare,
    /// Baseline: holds by SELECT … FOR UPDATE
    RowLock,
    /// Baseline: holds by one conditional UPDATE
    Conditional,
    /// Baseline: holds by a counter in Redis, if redis-server is installed; not durable
    Redis,
    /// Holds of one hot product that does not sell out
    Holds,
    /// Holds of one sold-out product
    SoldOut,
    /// Reads of a product, without buyers and during a sale
    Reads,
    /// Checkouts: a hold, its order and the webhook that pays it
    Checkouts,
    /// Holds of 1,000 products, chosen evenly and by Zipf
    Products,
    /// 10,000 buyers at once for 1,000 units
    Crowd,
    /// 100,000 holds that expire
    Expiry,
    /// Holds with a million holds in the tables
    Million,
    /// Holds with 1, 2, 4 and 8 worker processes
    Workers,
    /// Holds with and without syncs of NATS
    Sync,
    /// Holds while 5,000 clients read the stock's event stream
    Events,
    /// CPU time per hold, at 1,000 to 30,000 holds per second
    Cost,
    /// Memory over time, with 10,000 connections and a million holds
    Memory,
}

impl Scenario {
    /// The named scenarios; `all` stands for every scenario.
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

    /// Runs the scenario and adds its figures to the report.
    ///
    /// # Errors
    /// When the audit or a program fails.
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
