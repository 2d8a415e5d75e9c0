//! `bench`: how fast Holdfast is, over real HTTP, on a sale that it starts for itself.
//!
//! Every scenario is driven by the same closed-loop generator, and compared with the same server's empty handler in the
//! same run: machines differ, ratios less. Nothing here decides a test.

mod http;
mod load;
mod sale;
mod scenario;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;

use crate::load::Load;
use crate::sale::Sale;
use crate::scenario::Scenario;

/// Measure a sale on this machine
#[derive(Parser)]
struct Options {
    /// What to measure; all of it when none is named
    scenarios: Vec<Scenario>,
    /// How many connections at once, with commas between them
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    connections: Vec<usize>,
    /// How long each measurement lasts, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The address of a `holdfast dev` that runs already, such as 127.0.0.1:8080
    #[arg(long)]
    address: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scenarios = if options.scenarios.is_empty() { Scenario::ALL.to_vec() } else { options.scenarios };
    let duration = Duration::from_secs(options.seconds);
    let sale = match options.address {
        Some(address) => Sale::at(address),
        None => Sale::start().await?,
    };
    println!("scenario       connections   a second   of bare   p50 ms   p99 ms   errors");
    for connections in options.connections {
        let bare = measure(&sale, Scenario::Bare, connections, duration).await?;
        for scenario in scenarios.iter().filter(|scenario| **scenario != Scenario::Bare) {
            let load = measure(&sale, *scenario, connections, duration).await?;
            print(*scenario, connections, &load, &bare);
        }
        print(Scenario::Bare, connections, &bare, &bare);
    }
    sale.stop().await
}

async fn measure(sale: &Sale, scenario: Scenario, connections: usize, duration: Duration) -> anyhow::Result<Load> {
    let target = scenario.prepare(sale).await?;
    load::run(sale.address(), connections, duration, target).await
}

fn print(scenario: Scenario, connections: usize, load: &Load, bare: &Load) {
    println!(
        "{:<14} {:>11} {:>10.0} {:>9.3} {:>8.1} {:>8.1} {:>8}",
        scenario.to_string(),
        connections,
        load.a_second(),
        load.a_second() / bare.a_second(),
        load.millis_at(0.5),
        load.millis_at(0.99),
        load.errors
    );
}
