//! What it costs that NATS syncs before it acknowledges: the same sale with `sync_interval: always`, and with the default
//! of two minutes, which loses what it acknowledged when the power fails.
//!
//! Holdfast refuses to start on the latter, and rightly. To measure it all the same, its question is answered falsely here,
//! by this program. Nobody should run a sale like that.

use async_nats::Client;
use futures_util::StreamExt;
use serde_json::json;

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::place::Place;
use crate::sale::Sale;
use crate::scripts::Holds;

const CONNECTIONS: usize = 256;
/// Where Holdfast asks for JetStream's settings.
const QUESTION: &str = "holdfast.server.jetstream";

/// One hot product, with both.
pub(super) async fn sync(bench: &mut Bench) -> anyhow::Result<()> {
    let always = measure(bench, "sync_interval: always").await?;
    let durable = std::fs::read_to_string(bench.place.nats_conf())?;
    restart(&mut bench.place, &undurable(&durable)).await?;
    let measured = measure_undurable(bench).await;
    // Whatever came of it, what comes next is measured with syncs.
    restart(&mut bench.place, &durable).await?;
    bench.report.fact(
        "sync",
        "holds with sync_interval: always, of those with the default",
        always / measured?,
        "",
    );
    Ok(())
}

async fn measure(bench: &mut Bench, name: &str) -> anyhow::Result<f64> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    let ids = sale.products(1, PLENTY).await?;
    let load = Load::closed(sale.address, CONNECTIONS, bench.asked.duration);
    let row = bench
        .holds(name, &sale, load, &ids, Holds::evenly(&ids))
        .await?;
    sale.stop(&bench.place).await?;
    Ok(row.a_second)
}

async fn measure_undurable(bench: &mut Bench) -> anyhow::Result<f64> {
    let client = async_nats::connect(bench.place.nats_url()).await?;
    let answering = tokio::spawn(answer(client));
    let measured = measure(bench, "sync_interval: default (not durable)").await;
    answering.abort();
    measured
}

/// The settings without the sync, and without the server's true answer.
fn undurable(settings: &str) -> String {
    let is_kept = |line: &&str| !line.contains("sync_interval: always") && !line.contains(QUESTION);
    settings
        .lines()
        .filter(is_kept)
        .map(|line| format!("{line}\n"))
        .collect()
}

async fn restart(place: &mut Place, settings: &str) -> anyhow::Result<()> {
    let path = place.nats_conf();
    if let Some(nats) = place.stack.nats_mut() {
        nats.stop().await?;
        std::fs::write(path, settings)?;
        nats.start().await?;
    }
    Ok(())
}

async fn answer(nats: Client) -> anyhow::Result<()> {
    let mut questions = nats.subscribe(QUESTION).await?;
    let server = nats.server_info();
    let answer = json!({
        "server": {"name": server.server_name, "ver": server.version},
        "data": {"config": {"sync_always": true}},
    });
    while let Some(question) = questions.next().await {
        if let Some(reply) = question.reply {
            nats.publish(reply, answer.to_string().into()).await?;
        }
    }
    Ok(())
}
