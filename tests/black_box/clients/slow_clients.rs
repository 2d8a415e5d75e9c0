//! Tests of slow clients: the server closes their connections.

use holdfast_tests::{DEADLINE, SaleBuilder};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes and nothing more; returns the response that arrives until the server closes the connection.
async fn sent_and_silent(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    assert!(
        ended.is_ok(),
        "the connection is still open after {bytes:?}"
    );
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn slow_heads_slow_bodies_and_idle_connections_end() {
    let builder = SaleBuilder::default()
        .setting("REQUEST_READ_MS", "500")
        .setting("KEEP_ALIVE_SECONDS", "1");
    let sale = builder.start().await;
    let product = sale.product(5).await;
    let address = sale.client().address().to_owned();
    for half_open in [
        "",
        "GET /api/pro",
        "POST /api/holds HTTP/1.1\r\nhost: x\r\n",
    ] {
        assert_eq!(sent_and_silent(&address, half_open).await, "");
    }
    let head = "HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{\"product_id\": ";
    for path in ["/api/holds", "/api/orders", "/api/payments/webhook"] {
        let answer = sent_and_silent(&address, &format!("POST {path} {head}")).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
    }
    let idle = sent_and_silent(&address, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
}
