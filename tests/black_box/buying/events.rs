//! Tests of live stock: `GET /api/products/{id}/events`.

use futures_util::future::join_all;
use holdfast_tests::{Client, DEADLINE, Sale, SaleBuilder, until};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

/// A stream of server-sent events.
struct Events {
    response: reqwest::Response,
    unread: String,
}

impl Events {
    async fn open(client: &Client, product: i64, last_event_id: Option<&str>) -> Self {
        let url = format!("http://{}/api/products/{product}/events", client.address());
        let mut request = reqwest::Client::new().get(url);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        Self {
            response,
            unread: String::new(),
        }
    }

    /// The text of the next event or comment; `None` when the stream has ended cleanly.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(block);
            }
            let more = timeout(DEADLINE, self.response.chunk())
                .await
                .unwrap()
                .unwrap();
            self.unread.push_str(std::str::from_utf8(&more?).unwrap());
        }
    }

    /// The id and the document of the next event.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            let block = self.block().await?;
            if !block.starts_with(':') {
                return Some(parse(&block));
            }
        }
    }

    /// Reads until a field of the document has this value.
    async fn until(&mut self, field: &str, value: i64) -> Value {
        loop {
            let (_, document) = self.next().await.unwrap();
            if document[field] == value {
                return document;
            }
        }
    }
}

fn parse(event: &str) -> (i64, Value) {
    let field = |name| {
        event
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{event}"))
    };
    assert_eq!(field("event: "), "stock");
    let document: Value = serde_json::from_str(field("data: ")).unwrap();
    let id: i64 = field("id: ").parse().unwrap();
    assert_eq!(document["version"], id);
    (id, document)
}

#[tokio::test]
async fn subscriber_gets_the_product_at_once_and_on_every_change() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(10).await;
    let mut events = Events::open(&sale.clients[1], product, None).await;
    let headers = events.response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-store");
    let (first, shown) = events.next().await.unwrap();
    assert_eq!(
        (first, shown),
        (
            1,
            sale.clients[1]
                .get(&format!("/api/products/{product}"))
                .await
                .body
        )
    );
    for held in 1..=3 {
        sale.client().hold(product, 1, &[]).await;
        let (id, shown) = events.next().await.unwrap();
        assert_eq!(
            (
                id,
                shown["held_stock"].as_i64(),
                shown["available_stock"].as_i64()
            ),
            (1 + held, Some(held), Some(10 - held))
        );
    }
    for (path, status) in [
        ("/api/products/987654/events", 404),
        ("/api/products/x/events", 404),
    ] {
        let answer = sale.client().get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (status, "product_not_found")
        );
    }
    assert_eq!(
        sale.client()
            .post(
                &format!("/api/products/{product}/events"),
                &[],
                &Value::Null
            )
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn reconnect_sends_only_newer_versions() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let (id, _) = Events::open(sale.client(), product, None)
        .await
        .next()
        .await
        .unwrap();
    let mut up_to_date = Events::open(sale.client(), product, Some(&id.to_string())).await;
    sale.client().hold(product, 1, &[]).await;
    assert_eq!(
        up_to_date.next().await.unwrap().0,
        id + 1,
        "the first event is not the new version"
    );
    for other in [id.to_string().as_str(), "987654", "no-version", ""] {
        assert_eq!(
            Events::open(sale.client(), product, Some(other))
                .await
                .next()
                .await
                .unwrap()
                .0,
            id + 1
        );
    }
}

#[tokio::test]
async fn busy_product_is_sent_ten_times_a_second_then_its_last_state() {
    let sale = Sale::start().await;
    let product = sale.product(400).await;
    let mut subscribers = Vec::new();
    for _ in 0..5 {
        subscribers.push(Events::open(sale.client(), product, None).await);
    }
    let begun = Instant::now();
    let buying = async {
        for _ in 0..80 {
            join_all((0..5).map(|_| sale.client().hold(product, 1, &[]))).await;
        }
    };
    let watching = join_all(subscribers.iter_mut().map(async |events| {
        let (mut shown, mut last) = (0_u128, 0);
        loop {
            let (id, document) = events.next().await.unwrap();
            assert!(id > last, "{id} after {last}");
            (shown, last) = (shown + 1, id);
            if document["available_stock"] == 0 {
                return shown;
            }
        }
    }));
    let (shown, ()) = futures_util::join!(watching, buying);
    // A slow machine raises this bound, so the time does not decide the test.
    let most = begun.elapsed().as_millis() / 100 + 2;
    assert!(
        shown.iter().all(|shown| *shown <= most),
        "events for each subscriber: {shown:?}, at most {most} allowed"
    );
    let versions: i64 = sale
        .count(
            "SELECT version FROM products WHERE product_id = $1",
            product,
        )
        .await;
    assert!(
        shown.iter().any(|shown| *shown < versions as u128),
        "no subscriber skipped a version: {shown:?} events, {versions} versions"
    );
}

#[tokio::test]
async fn change_of_a_killed_worker_reaches_subscribers() {
    let mut sale = SaleBuilder::default()
        .setting("PARTITION_LEASE_MS", "800")
        .setting("REQUEST_WAIT_MS", "2000")
        .start()
        .await;
    let product = sale.product(1000).await;
    let mut events = Events::open(sale.client(), product, None).await;
    sale.workers.remove(0).crash().await;
    let mut dying = sale.worker_with(&[("HOLDFAST_CRASH_AT", "commit:8")]);
    let mut requested = 0;
    until(
        "the worker to die between a commit and its news",
        async || {
            sale.client().hold(product, 1, &[]).await;
            requested += 1;
            dying.has_ended()
        },
    )
    .await;
    sale.start_worker().await;
    events.until("held_stock", requested).await;
}

#[tokio::test]
async fn streams_end_cleanly_when_the_ingress_stops() {
    let mut sale = Sale::start().await;
    let product = sale.product(10).await;
    let mut events = Events::open(sale.client(), product, None).await;
    assert!(events.next().await.is_some());
    let mut ingress = sale.ingresses.remove(0);
    ingress.signal(Signal::SIGTERM);
    assert_eq!(events.next().await, None, "the stream has another event");
    assert!(ingress.ended().await, "{}", ingress.output());
    assert!(
        !ingress.output().contains("requests are waiting"),
        "{}",
        ingress.output()
    );
}

#[tokio::test]
async fn quiet_stream_sends_heartbeats_and_stays_open() {
    let limits = SaleBuilder::default()
        .setting("REQUEST_READ_MS", "500")
        .setting("KEEP_ALIVE_SECONDS", "1");
    let sale = limits.start().await;
    let product = sale.product(10).await;
    let mut events = Events::open(sale.client(), product, None).await;
    assert_eq!(events.next().await.unwrap().0, 1);
    assert_eq!(events.block().await.unwrap(), ":");
    sale.client().hold(product, 1, &[]).await;
    assert_eq!(events.next().await.unwrap().0, 2);
}

#[tokio::test]
async fn subscribers_over_the_limit_get_503_and_buyers_do_not() {
    let sale = SaleBuilder::default()
        .setting("CONNECTIONS_MAX", "16")
        .start()
        .await;
    let product = sale.product(10).await;
    let mut subscribers = Vec::new();
    for _ in 0..8 {
        let mut events = Events::open(sale.client(), product, None).await;
        assert!(events.next().await.is_some());
        subscribers.push(events);
    }
    let path = format!("/api/products/{product}/events");
    let refused = sale.client().get(&path).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
    subscribers.pop();
    until("the place of the subscriber that left", async || {
        let mut events = Events::open(sale.client(), product, None).await;
        if events.response.status() == StatusCode::OK {
            events.next().await
        } else {
            None
        }
    })
    .await;
}

#[tokio::test]
async fn subscriber_that_does_not_read_is_disconnected_alone() {
    let sale = SaleBuilder::default()
        .setting("CONNECTIONS_MAX", "16")
        .start()
        .await;
    // The longest allowed name fills the buffers of the connection sooner.
    let body = json!({"name": "ü".repeat(200), "price_minor": 1, "currency": "EUR", "total_stock": 1_000_000});
    let product = sale.admin_post("/api/admin/products", &body).await.body["id"]
        .as_i64()
        .unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut silent = socket
        .connect(sale.client().address().parse().unwrap())
        .await
        .unwrap();
    let request = format!("GET /api/products/{product}/events HTTP/1.1\r\nhost: x\r\n\r\n");
    silent.write_all(request.as_bytes()).await.unwrap();
    // Subscribers that read take all other places.
    let mut reading = Vec::new();
    for _ in 0..7 {
        reading.push(Events::open(sale.client(), product, None).await);
    }
    let mut held = 0;
    until(
        "the place of the subscriber that does not read",
        async || {
            assert_eq!(
                sale.client().hold(product, 1, &[]).await.status,
                StatusCode::CREATED
            );
            held += 1;
            join_all(
                reading
                    .iter_mut()
                    .map(|events| events.until("held_stock", held)),
            )
            .await;
            let another = Events::open(sale.client(), product, None).await;
            (another.response.status() == StatusCode::OK).then_some(())
        },
    )
    .await;
    drop(silent);
}
