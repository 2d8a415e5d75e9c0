//! `holdfast health`: asks a program on this host how it is, for whoever restarts it. An image needs no other program for that.

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

use crate::exit::Found;

/// How long it may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What `health` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// What to ask: an ingress's `/readyz` or `/healthz`, a worker's `/healthz`
    #[arg(default_value = "http://127.0.0.1:8080/readyz")]
    url: Uri,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Asks once. No answer is an answer, too.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    if options.url.scheme_str() != Some("http") || options.url.host().is_none() {
        bail!("{} is no http:// URL", options.url);
    }
    let answer = timeout(ANSWER_WAIT, ask(&options.url)).await;
    let answer = answer.map_err(|_| format!("no answer in {ANSWER_WAIT:?}"));
    let answer = answer.and_then(|answer| answer.map_err(|error| format!("{error:#}")));
    let is_well = answer.as_ref().is_ok_and(StatusCode::is_success);
    match (options.json, answer) {
        (true, answer) => println!(
            "{}",
            json!({"ok": is_well, "status": answer.ok().map(|status| status.as_u16())})
        ),
        (false, Ok(status)) => println!("{} answers {status}", options.url),
        (false, Err(why)) => println!("{} does not answer: {why}", options.url),
    }
    Ok(Found::something_if(!is_well))
}

async fn ask(url: &Uri) -> anyhow::Result<StatusCode> {
    let host = url.host().unwrap_or_default();
    let stream =
        TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80))).await;
    let stream = stream.context("nobody listens there")?;
    let (mut asking, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, host)
        .body(Empty::<Bytes>::new())?;
    let status = asking.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
