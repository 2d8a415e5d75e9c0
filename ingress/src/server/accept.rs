//! The server: connections, what bounds them, and their end.
//!
//! HTTP/1.1, one request at a time on a connection. A client that is slow or gone loses its connection and nothing else:
//! a head has `REQUEST_READ_MS`, a pause between two requests `KEEP_ALIVE_SECONDS`, and a peer that has vanished is
//! found by TCP itself. A request that is being answered is never cut off here, but one whose client does not read its
//! answer for `READER_WAIT` is.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use holdfast_common::settings::LimitSettings;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::Instrument;

use crate::metrics::METRICS;
use crate::server::client_address::Peer;
use crate::server::request_log::Exchange;
use crate::server::slow_heads::{Progress, TimedHeads};
use crate::server::slow_readers::TimedWrites;

/// The most that is read ahead of a connection, in bytes; a longer head is refused with 431.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take nothing of what it is sent.
const READER_WAIT: Duration = Duration::from_secs(10);
/// What the operating system keeps of an answer until it can be sent, in bytes. Otherwise it would keep megabytes for each
/// client that does not read, and they would be noticed late.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// The share of connections, one in so many, that serve one request each: what is left when most are taken comes round
/// quickly, and idle clients can't keep everybody else out.
const CROWDED_SHARE: usize = 8;
/// The pause after the operating system could not give us a connection: it may be out of files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How many connections may wait to be accepted. A sale opens to thousands within milliseconds; who finds this queue full
/// tries again a second later, without being told. The operating system may have a lower bound (`net.core.somaxconn`).
const UNACCEPTED_MAX: i32 = 16_384;
/// When a silent connection is probed, how often, and after how many unanswered probes it ends.
const PROBE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 3);

/// What every connection is served with.
struct Server {
    router: Router,
    request_read: Duration,
    keep_alive: Duration,
    reader_wait: Duration,
    stop: CancellationToken,
}

/// Serves until told to stop, and then until every connection has ended: those that answer a request when it is
/// answered, others at once.
pub async fn serve(
    socket: TcpListener,
    router: Router,
    limits: &LimitSettings,
    stop: CancellationToken,
) {
    let connections_max = limits.connections_max as usize;
    let (request_read, keep_alive) = (limits.request_read(), limits.keep_alive());
    let server = Arc::new(Server {
        router,
        request_read,
        keep_alive,
        reader_wait: READER_WAIT,
        stop: stop.clone(),
    });
    let places = Arc::new(Semaphore::new(connections_max));
    let connections = TaskTracker::new();
    prepare(&socket);
    loop {
        // Without a place nobody is accepted: who comes then waits in the operating system's queue.
        let accepted = async {
            (
                Arc::clone(&places).acquire_owned().await,
                accept(&socket).await,
            )
        };
        let (place, (stream, peer)) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let is_crowded = places.available_permits() < connections_max / CROWDED_SHARE;
        let server = Arc::clone(&server);
        METRICS.connections.increment(1);
        connections.spawn(async move {
            server.connection(stream, peer, is_crowded).await;
            METRICS.connections.decrement(1);
            drop(place);
        });
    }
    drop(socket);
    connections.close();
    connections.wait().await;
}

/// Makes room for those who come all at once, and sets what accepted connections inherit from the socket that listens.
fn prepare(socket: &TcpListener) {
    // It listens already, with room for 128.
    if let Err(error) = SockRef::from(socket).listen(UNACCEPTED_MAX) {
        tracing::warn!(%error, "few connections can wait to be accepted");
    }
    let (time, interval, retries) = PROBE;
    let keepalive = TcpKeepalive::new()
        .with_time(time)
        .with_interval(interval)
        .with_retries(retries);
    if let Err(error) = SockRef::from(socket).set_tcp_keepalive(&keepalive) {
        tracing::warn!(%error, "silent connections will not be probed");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::warn!(%error, "clients that do not read will be noticed late");
    }
}

async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                // An answer is one small packet: waiting to fill it would only delay it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY was not set");
                }
                return (stream, peer);
            }
            // The client was gone before we looked.
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl Server {
    async fn connection<S>(&self, stream: S, peer: SocketAddr, is_crowded: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let progress = Progress::default();
        let io = TimedHeads::new(stream, progress.clone(), self.request_read);
        let io = TokioIo::new(TimedWrites::new(io, self.reader_wait));
        let answering = service_fn(|request| self.answer(request, peer, progress.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // It also runs while there is no head at all.
            .header_read_timeout(self.keep_alive)
            .keep_alive(!is_crowded)
            .max_buf_size(READ_BYTES_MAX)
            .serve_connection(io, answering);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        progress: Progress,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        progress.head_came();
        let exchange = Exchange::begin(request.method(), request.uri().path(), request.headers());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        let answering = self
            .router
            .clone()
            .call(request)
            .instrument(exchange.span());
        async move {
            let mut answer = answering.await?;
            progress.answered();
            exchange.end(&mut answer);
            Ok(answer)
        }
    }
}

#[cfg(test)]
mod tests;
