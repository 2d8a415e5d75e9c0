//! Tests of 202 and polling: an accepted request shows its position in the queue, and later its outcome.

use holdfast_tests::{Client, Sale, SaleBuilder, until};
use reqwest::StatusCode;
use serde_json::Value;

/// Polls until a request is done, and checks that its position only falls.
pub(crate) async fn done(client: &Client, status_url: &str) -> Value {
    let mut last_position = u64::MAX;
    until("the request to be done", async || {
        let answer = client.get(status_url).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        match answer.body["status"].as_str() {
            Some("done") => Some(answer.body["response"].clone()),
            Some("queued") => {
                let position = answer.body["position"].as_u64().unwrap();
                assert!(
                    position <= last_position,
                    "position rose from {last_position} to {position}"
                );
                assert_eq!(answer.body["status_url"], status_url);
                last_position = position;
                None
            }
            _ => panic!("{answer:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn accepted_request_shows_its_place_then_its_outcome() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let answer = sale
            .client()
            .hold(product, 1, &[("prefer", "respond-async")])
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        assert_eq!(
            (
                answer.header("preference-applied"),
                answer.header("retry-after")
            ),
            ("respond-async", "1")
        );
        assert_eq!(answer.header("location"), answer.body["status_url"]);
        assert_eq!(answer.body["status"], "queued");
        assert!(answer.body["position"].is_u64(), "{answer:?}");
        outcomes.push(done(sale.client(), answer.header("location")).await);
    }
    assert_eq!(
        (&outcomes[0]["status"], &outcomes[0]["body"]["status"]),
        (&201.into(), &"active".into())
    );
    assert_eq!(
        (&outcomes[1]["status"], &outcomes[1]["body"]["code"]),
        (&409.into(), &"insufficient_stock".into())
    );
}

#[tokio::test]
async fn accepted_requests_all_end_and_places_only_fall() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(150).await;
    let requests = (0..300_usize).map(|number| {
        let (accepting, polling) = (&sale.clients[number % 2], &sale.clients[(number + 1) % 2]);
        async move {
            let answer = accepting
                .hold(product, 1, &[("prefer", "respond-async")])
                .await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
            done(polling, answer.header("location")).await["status"]
                .as_u64()
                .unwrap()
        }
    });
    let statuses = futures_util::future::join_all(requests).await;
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(201), count(409)), (150, 150));
}

#[tokio::test]
async fn unknown_request_ids_are_not_found() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let accepted = sale
        .client()
        .hold(product, 1, &[("prefer", "respond-async")])
        .await;
    let url = accepted.header("location");
    done(sale.client(), url).await;
    let (_, seq) = url.split_once('?').unwrap();
    // The same id with another last digit was never accepted.
    let id = accepted.body["request_id"].as_str().unwrap();
    let other = format!("{}{}", &id[..35], if id.ends_with('0') { '1' } else { '0' });
    for path in [
        format!("/api/requests/{other}"),
        format!("/api/requests/{other}?{seq}"),
        format!("/api/requests/{other}?seq=999999999"),
        format!("/api/requests/{other}?seq=99999999999999999999"),
        "/api/requests/01234567-89ab-4cc1-bfed-cba987654321".to_owned(),
        "/api/requests/1".to_owned(),
    ] {
        let answer = sale.client().get(&path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::NOT_FOUND, "request_not_found"),
            "{path}"
        );
    }
    let answer = sale
        .client()
        .get(&format!("/api/requests/{other}?seq=soon"))
        .await;
    assert_eq!(answer.problem(), "invalid_request");
}

#[tokio::test]
async fn holds_without_a_worker_get_202_and_end_when_one_starts() {
    let sale = SaleBuilder::default()
        .setting("REQUEST_WAIT_MS", "300")
        .start()
        .await;
    let mut sale = sale;
    let product = sale.product(5).await;
    let mut worker = sale.workers.remove(0);
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(worker.ended().await, "{}", worker.output());
    let mut urls = Vec::new();
    for headers in [&[][..], &[("prefer", "wait=1")], &[("prefer", "wait=0")]] {
        let answer = sale.client().hold(product, 1, headers).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        urls.push(answer.header("location").to_owned());
        let status = sale.client().get(&urls[urls.len() - 1]).await;
        assert_eq!(
            (status.status, &status.body["status"]),
            (StatusCode::OK, &"queued".into())
        );
        assert_eq!(
            status.body["position"],
            (urls.len() - 1) as u64,
            "the position is not the number of requests before"
        );
    }
    sale.start_worker().await;
    for url in urls {
        assert_eq!(done(sale.client(), &url).await["status"], 201);
    }
}
