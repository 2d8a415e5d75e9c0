//! Subscribers: many streams of server-sent events of one product, read on one thread.
//!
//! Each subscriber records the newest version of the product and the time at which it received it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use tokio::task::JoinHandle;

/// How long the last event may take to reach a subscriber before it counts as missed.
const LAST_EVENT_WAIT: Duration = Duration::from_secs(10);
const POLL_WAIT: Duration = Duration::from_millis(20);
const EVENTS_MAX: usize = 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// Longer than an event.
const TAIL_BYTES_MAX: usize = 2048;
/// Subscribers that connect at once.
const UNANSWERED_MAX: usize = 256;
const VERSION: &[u8] = b"\"version\":";
/// Stands for the last version while it is not known.
const NOT_KNOWN: i64 = i64::MAX;

/// Connected subscribers.
pub(crate) struct Subscribers {
    last_version: Arc<AtomicI64>,
    listening: JoinHandle<anyhow::Result<Vec<Subscriber>>>,
}

/// The result of all subscribers.
pub(crate) struct SubscriberResult {
    /// Milliseconds from the last change until each subscriber received it, in ascending order, without the subscribers
    /// that did not receive it.
    pub(crate) lags: Vec<f64>,
    /// Number of subscribers whose connection was closed.
    pub(crate) closed: usize,
    /// Number of events that all subscribers received together.
    pub(crate) events: u64,
}

struct Subscriber {
    stream: TcpStream,
    /// The last bytes that were read, because a version may arrive in two pieces.
    tail: Vec<u8>,
    newest: i64,
    received_at: Instant,
    events: u64,
    is_closed: bool,
}

/// Whether the server serves the product's event stream.
///
/// # Errors
/// When the server does not respond.
pub(crate) fn is_served(address: SocketAddr, product_id: i64) -> anyhow::Result<bool> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(&request(product_id))?;
    let mut response = [0; 12];
    stream.read_exact(&mut response)?;
    Ok(response.ends_with(b" 200"))
}

fn request(product_id: i64) -> Vec<u8> {
    format!("GET /api/products/{product_id}/events HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n")
        .into_bytes()
}

impl Subscribers {
    /// Connects the subscribers, and waits until each has received its first event.
    ///
    /// # Errors
    /// When the server refuses a subscriber.
    pub(crate) async fn connect(
        address: SocketAddr,
        product_id: i64,
        count: usize,
    ) -> anyhow::Result<Self> {
        let connecting =
            tokio::task::spawn_blocking(move || connect_all(address, product_id, count));
        let (poll, subscribers) = connecting.await??;
        let last_version = Arc::new(AtomicI64::new(NOT_KNOWN));
        let awaited = Arc::clone(&last_version);
        let listening = tokio::task::spawn_blocking(move || listen(poll, subscribers, &awaited));
        Ok(Self {
            last_version,
            listening,
        })
    }

    /// Waits until all subscribers have received the last version, which was created at `changed_at`.
    ///
    /// # Errors
    /// When the operating system fails.
    pub(crate) async fn finish(
        self,
        last_version: i64,
        changed_at: Instant,
    ) -> anyhow::Result<SubscriberResult> {
        self.last_version.store(last_version, Ordering::Relaxed);
        let subscribers = self.listening.await??;
        let up_to_date = subscribers
            .iter()
            .filter(|subscriber| subscriber.newest >= last_version);
        let lag = |subscriber: &Subscriber| {
            subscriber
                .received_at
                .saturating_duration_since(changed_at)
                .as_secs_f64()
                * 1e3
        };
        let mut lags: Vec<f64> = up_to_date.map(lag).collect();
        lags.sort_by(f64::total_cmp);
        let closed = subscribers
            .iter()
            .filter(|subscriber| subscriber.is_closed)
            .count();
        let events = subscribers.iter().map(|subscriber| subscriber.events).sum();
        Ok(SubscriberResult {
            lags,
            closed,
            events,
        })
    }
}

fn connect_all(
    address: SocketAddr,
    product_id: i64,
    count: usize,
) -> anyhow::Result<(Poll, Vec<Subscriber>)> {
    let poll = Poll::new()?;
    let request = request(product_id);
    let mut subscribers = Vec::with_capacity(count);
    let mut unanswered = Vec::with_capacity(UNANSWERED_MAX);
    for number in 0..count {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(&request)?;
        unanswered.push(stream);
        if unanswered.len() < UNANSWERED_MAX && number + 1 < count {
            continue;
        }
        for stream in unanswered.drain(..) {
            let mut subscriber = Subscriber::receive_first(stream)?;
            let token = Token(subscribers.len());
            poll.registry()
                .register(&mut subscriber.stream, token, Interest::READABLE)?;
            subscribers.push(subscriber);
        }
    }
    Ok((poll, subscribers))
}

fn listen(
    mut poll: Poll,
    mut subscribers: Vec<Subscriber>,
    last: &AtomicI64,
) -> anyhow::Result<Vec<Subscriber>> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut known_since = None;
    loop {
        match poll.poll(&mut events, Some(POLL_WAIT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        let now = Instant::now();
        for event in &events {
            subscribers[event.token().0].receive(&mut buffer, now);
        }
        let last = last.load(Ordering::Relaxed);
        if last != NOT_KNOWN {
            let since = *known_since.get_or_insert(now);
            let is_done = subscribers
                .iter()
                .all(|subscriber| subscriber.is_closed || subscriber.newest >= last);
            if is_done || now > since + LAST_EVENT_WAIT {
                return Ok(subscribers);
            }
        }
    }
}

impl Subscriber {
    /// Waits for the first event, which the server sends at once.
    fn receive_first(mut stream: std::net::TcpStream) -> anyhow::Result<Self> {
        stream.set_read_timeout(Some(LAST_EVENT_WAIT))?;
        let mut tail = Vec::new();
        let mut buffer = [0; TAIL_BYTES_MAX];
        while newest_version(&tail).is_none() {
            let read = stream.read(&mut buffer)?;
            ensure!(
                read > 0 && tail.len() < 2 * TAIL_BYTES_MAX,
                "a subscriber received no event, but {:?}",
                String::from_utf8_lossy(&tail)
            );
            tail.extend_from_slice(&buffer[..read]);
        }
        let newest = newest_version(&tail).unwrap_or_default();
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(Self {
            stream,
            tail,
            newest,
            received_at: Instant::now(),
            events: 1,
            is_closed: false,
        })
    }

    /// Reads the available bytes.
    fn receive(&mut self, buffer: &mut [u8], now: Instant) {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => break self.is_closed = true,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break self.is_closed = true,
            };
            self.tail.extend_from_slice(&buffer[..read]);
            if let Some(version) = newest_version(&self.tail)
                && version > self.newest
            {
                self.newest = version;
                self.received_at = now;
                self.events += 1;
            }
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
            self.tail.drain(..surplus);
        }
    }
}

/// The last complete version in these bytes.
fn newest_version(bytes: &[u8]) -> Option<i64> {
    let digits = |at: usize| {
        let rest = &bytes[at + VERSION.len()..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&rest[..length]).ok()?.parse().ok()
    };
    let last = bytes.len().checked_sub(VERSION.len())?;
    (0..=last)
        .rev()
        .filter(|at| bytes[*at..].starts_with(VERSION))
        .find_map(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_is_the_last_complete_one() {
        assert_eq!(
            newest_version(b"data: {\"version\":7,\"as_of\":1}\n\ndata: {\"version\":12}"),
            Some(12)
        );
        assert_eq!(
            newest_version(b"data: {\"version\":7}\n\ndata: {\"version\":12"),
            Some(7)
        );
        assert_eq!(newest_version(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(newest_version(b""), None);
    }
}
