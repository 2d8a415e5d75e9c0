//! Tests of `holdfast queue status` and `holdfast sale watch`.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join;
use holdfast_tests::{PARTITIONS, Sale, SaleBuilder, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

fn sum(lines: &[Value], field: &str) -> f64 {
    lines
        .iter()
        .map(|line| line[field].as_f64().unwrap_or_else(|| panic!("{line}")))
        .sum()
}

#[tokio::test]
async fn queue_shows_owners_waiting_commands_and_rates() {
    let mut sale = Sale::start().await;
    let product = sale.product(1000).await;
    let done = AtomicBool::new(false);
    let buying = async {
        while !done.load(Ordering::Relaxed) {
            assert_eq!(
                sale.client().hold(product, 1, &[]).await.status,
                StatusCode::CREATED
            );
        }
    };
    let looking = async {
        let looked = sale
            .operator(&["queue", "status", "--json", "--for", "2"])
            .await;
        done.store(true, Ordering::Relaxed);
        looked
    };
    let ((), (code, lines)) = join(buying, looking).await;
    assert_eq!(
        (code, lines.len()),
        (0, usize::from(PARTITIONS)),
        "{lines:?}"
    );
    assert!(sum(&lines, "applied_per_second") > 0.0, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line["owner"].is_string() && line["lease_ms"].as_i64() > Some(0)),
        "{lines:?}"
    );

    sale.workers.remove(0).crash().await;
    for _ in 0..5 {
        let queued = sale
            .client()
            .hold(product, 1, &[("prefer", "respond-async")])
            .await;
        assert_eq!(queued.status, StatusCode::ACCEPTED);
    }
    let lines = until("the lease of the crashed worker to expire", async || {
        let (code, lines) = sale.operator(&["queue", "status", "--json"]).await;
        let is_lapsed = lines.iter().all(|line| line["owner"] == Value::Null);
        is_lapsed
            .then(|| assert_eq!(code, 1, "{lines:?}"))
            .map(|()| lines)
    })
    .await;
    let waiting: Vec<&Value> = lines
        .iter()
        .filter(|line| line["backlog"] != json!(0))
        .collect();
    assert_eq!(
        (waiting.len(), &waiting[0]["backlog"]),
        (1, &json!(5)),
        "{lines:?}"
    );
    assert!(
        waiting[0]["oldest_seconds"].as_f64() > Some(0.0),
        "{lines:?}"
    );

    sale.start_worker().await;
    until("the waiting commands to be applied", async || {
        let (code, lines) = sale.operator(&["queue", "status", "--json"]).await;
        (code == 0 && sum(&lines, "backlog") == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn queue_with_a_large_backlog_ends_with_exit_code_1() {
    // The worker owns every partition and can't apply commands, because their rows are locked.
    let sale = Sale::start().await;
    let product = sale.product(1000).await;
    let mut locked = sale.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM products FOR UPDATE")
        .execute(&mut *locked)
        .await
        .unwrap();
    for _ in 0..4 {
        let queued = sale
            .client()
            .hold(product, 1, &[("prefer", "respond-async")])
            .await;
        assert_eq!(queued.status, StatusCode::ACCEPTED);
    }
    let (code, lines) = sale
        .operator(&["queue", "status", "--json", "--backlog-max", "2"])
        .await;
    assert_eq!((code, sum(&lines, "backlog")), (1, 4.0), "{lines:?}");
    locked.rollback().await.unwrap();
    until("the waiting commands to be applied", async || {
        let (code, _) = sale
            .operator(&["queue", "status", "--json", "--backlog-max", "0"])
            .await;
        (code == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn watch_shows_refusals_of_every_program() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(1).await;
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
    let mut watching = sale.holdfast_with(&["sale", "watch", "--json"], &[]);
    watching.line("\"refused\"").await;
    // A worker refuses the request with a key, and the ingress refuses the one without from memory. The malformed request
    // never becomes a command.
    let refused =
        |document: &Value, status: &str| document["refused"][status].as_u64().unwrap_or(0);
    until("refusals of both ingresses to be shown", async || {
        for client in &sale.clients {
            for headers in [&[][..], &[("idempotency-key", "k")]] {
                assert_eq!(
                    client.hold(product, 1, headers).await.status,
                    StatusCode::CONFLICT
                );
            }
            assert_eq!(
                client.hold(product, 0, &[]).await.status,
                StatusCode::UNPROCESSABLE_ENTITY
            );
        }
        let seen: Vec<Value> = watching
            .output()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let [sold_out, no_form] =
            ["409", "422"].map(|status| seen.iter().map(|line| refused(line, status)).sum::<u64>());
        (sold_out >= 4 && no_form >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn watch_ends_after_the_given_time() {
    let sale = Sale::start().await;
    let (lamp, chair) = (sale.product(10).await, sale.product(5).await);
    sale.client().hold(lamp, 3, &[]).await;
    let (code, seconds) = sale
        .operator(&["sale", "watch", "--json", "--for", "2"])
        .await;
    assert!(code == 0 && seconds.len() >= 2, "{seconds:?}");
    let last = &seconds[seconds.len() - 1];
    assert_eq!(last["backlog"], 0, "{last}");
    let shown = |product: &Value| {
        [
            &product["product_id"],
            &product["held_stock"],
            &product["available_stock"],
        ]
        .map(Value::as_i64)
    };
    let products: Vec<_> = last["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(shown)
        .collect();
    assert_eq!(
        products,
        [
            [Some(lamp), Some(3), Some(7)],
            [Some(chair), Some(0), Some(5)]
        ]
    );
    let one = [
        "sale",
        "watch",
        "--json",
        "--for",
        "0",
        "--product",
        &chair.to_string(),
    ];
    let (code, seconds) = sale.operator(&one).await;
    assert_eq!(
        (code, seconds[0]["products"].as_array().unwrap().len()),
        (0, 1)
    );
    assert_eq!(
        sale.operator(&["sale", "watch", "--product", "99", "--for", "0"])
            .await
            .0,
        2
    );
}
