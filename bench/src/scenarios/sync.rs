//! Measures the cost of syncs in NATS: the same sale with `sync_interval: always`, and with the default of two minutes. With
//! the default, a power failure loses acknowledged messages.
//!
//! Holdfast refuses to start with the default. For this measurement only, this program responds in place of NATS to
//! Holdfast's request for the settings, and claims that NATS syncs. Do not run a sale like this.

use async_nats::Client;
use futures_util::StreamExt;
use serde_json::json;

use crate::bench::{Bench, PLENTY};
use crate::environment::Environment;
use crate::generator::Load;
use crate::sale::Sale;
use crate::scripts::Holds;

const CONNECTIONS: usize = 256;
/// The subject on which Holdfast requests the settings of JetStream.
const SETTINGS_SUBJECT: &str = "holdfast.server.jetstream";

/// Measures one hot product with both settings.
pub(super) async fn sync(bench: &mut Bench) -> anyhow::Result<()> {
    let always = measure(bench, "sync_interval: always").await?;
    let durable = std::fs::read_to_string(bench.environment.nats_conf())?;
    restart(&mut bench.environment, &undurable(&durable)).await?;
    let measured = measure_undurable(bench).await;
    // Also after a failure, the next scenarios need a NATS that syncs.
    restart(&mut bench.environment, &durable).await?;
    bench.report.fact(
        "sync",
        "rate of holds with sync_interval: always, of the rate with the default",
        always / measured?,
        "",
    );
    Ok(())
}

async fn measure(bench: &mut Bench, name: &str) -> anyhow::Result<f64> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    let ids = sale.create_products(1, PLENTY).await?;
    let load = Load::closed(sale.address, CONNECTIONS, bench.options.duration);
    let row = bench
        .measure_holds(name, &sale, load, &ids, Holds::evenly(&ids))
        .await?;
    sale.stop(&bench.environment).await?;
    Ok(row.a_second)
}

async fn measure_undurable(bench: &mut Bench) -> anyhow::Result<f64> {
    let client = async_nats::connect(bench.environment.nats_url()).await?;
    let responder = tokio::spawn(respond_with_sync_always(client));
    let measured = measure(bench, "sync_interval: default (not durable)").await;
    responder.abort();
    measured
}

/// Removes the sync from the settings, and the mapping by which NATS responds to Holdfast's request.
fn undurable(settings: &str) -> String {
    let is_kept =
        |line: &&str| !line.contains("sync_interval: always") && !line.contains(SETTINGS_SUBJECT);
    settings
        .lines()
        .filter(is_kept)
        .map(|line| format!("{line}\n"))
        .collect()
}

async fn restart(environment: &mut Environment, settings: &str) -> anyhow::Result<()> {
    let path = environment.nats_conf();
    if let Some(nats) = environment.stack.nats_mut() {
        nats.stop().await?;
        std::fs::write(path, settings)?;
        nats.start().await?;
    }
    Ok(())
}

async fn respond_with_sync_always(nats: Client) -> anyhow::Result<()> {
    let mut requests = nats.subscribe(SETTINGS_SUBJECT).await?;
    let server = nats.server_info();
    let response = json!({
        "server": {"name": server.server_name, "ver": server.version},
        "data": {"config": {"sync_always": true}},
    });
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            nats.publish(reply, response.to_string().into()).await?;
        }
    }
    Ok(())
}
