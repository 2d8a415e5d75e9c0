//! `holdfast health`: a health check for containers and supervisors, so that an image needs no HTTP client.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::{self, Verdict};
use crate::output::ResultOutput;

const RESPONSE_WAIT: Duration = Duration::from_secs(5);

#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    /// URL to request: `/readyz` or `/healthz` of an ingress, or `/healthz` of a worker
    #[arg(default_value = "http://127.0.0.1:8080/readyz")]
    url: Uri,
    #[command(flatten)]
    output: ResultOutput,
}

/// Sends one request. A program that does not respond needs action; it is not an error of this command.
pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let Options { url, output } = options;
    if url.scheme_str() != Some("http") || url.host().is_none() {
        bail!("{url} is not an http:// URL");
    }
    let result = timeout(RESPONSE_WAIT, request(&url))
        .await
        .unwrap_or_else(|_| bail!("no response within {RESPONSE_WAIT:?}"));
    let is_healthy = result.as_ref().is_ok_and(StatusCode::is_success);
    let status = result.as_ref().ok().map(StatusCode::as_u16);
    let text = match result {
        Ok(status) => format!("{url} responds with {status}"),
        Err(error) => format!("{url} does not respond: {error:#}"),
    };
    output.print(&json!({"ok": is_healthy, "status": status}), &text);
    Ok(Verdict::needs_action_if(!is_healthy))
}

async fn request(url: &Uri) -> anyhow::Result<StatusCode> {
    let host = url.host().unwrap_or_default();
    let address = (host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await;
    let stream = stream.context("the connection failed")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, host)
        .body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
