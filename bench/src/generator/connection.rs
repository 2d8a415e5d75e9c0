//! A connection of the generator: one request at a time.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

/// Header fields of a response.
const FIELDS_MAX: usize = 32;
/// Connections that are opened before their answers are waited for: fewer than a server's queue of those to be accepted.
const UNANSWERED_MAX: usize = 256;
/// A new connection's first request.
const GREETING: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n";

/// What came of reading.
pub(super) enum Response<V> {
    /// Not all of it is there.
    Incomplete,
    /// Its status, and what the script made of it.
    Whole(u16, V),
    /// The server has closed the connection.
    Closed { was_waiting: bool },
}

/// A connection that is kept alive.
pub(super) struct Connection {
    stream: TcpStream,
    /// When its round was meant to begin.
    pub(super) round_began: Instant,
    is_waiting: bool,
    /// What could not be written yet.
    unsent: Vec<u8>,
    /// The beginning of a response that did not come at once.
    partial: Vec<u8>,
}

/// Opens them all, and has them watched. Each has been answered once: it is accepted, kept alive, and has as much time
/// until its next request as a buyer who is looking at a page.
pub(super) fn open_all(
    poll: &Poll,
    address: SocketAddr,
    count: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        let more = UNANSWERED_MAX.min(count - connections.len());
        let mut streams = Vec::with_capacity(more);
        for _ in 0..more {
            let mut stream = connect(address)?;
            stream.write_all(GREETING)?;
            streams.push(stream);
        }
        for mut stream in streams {
            wait_for_answer(&mut stream)?;
            let mut connection = Connection::new(stream)?;
            let token = Token(connections.len());
            poll.registry().register(
                &mut connection.stream,
                token,
                Interest::READABLE | Interest::WRITABLE,
            )?;
            connections.push(connection);
        }
    }
    Ok(connections)
}

fn connect(address: SocketAddr) -> anyhow::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(address)
        .with_context(|| format!("can't connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn wait_for_answer(stream: &mut std::net::TcpStream) -> anyhow::Result<()> {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while parse(&answer)?.is_none() {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server closed a new connection");
        answer.extend_from_slice(&buffer[..read]);
    }
    Ok(())
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Self::new(connect(address)?)
    }

    fn new(stream: std::net::TcpStream) -> anyhow::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        let round_began = Instant::now();
        Ok(Self {
            stream,
            round_began,
            is_waiting: false,
            unsent: Vec::new(),
            partial: Vec::new(),
        })
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request, or says that the connection is gone.
    pub(super) fn send(&mut self, request: &[u8]) -> bool {
        self.is_waiting = true;
        match self.stream.write(request) {
            Ok(written) => self.unsent.extend_from_slice(&request[written..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.extend_from_slice(request)
            }
            Err(_) => return false,
        }
        true
    }

    /// Sends what could not be written before. A connection that is gone shows when it is read.
    pub(super) fn flush(&mut self) {
        if !self.unsent.is_empty()
            && let Ok(written) = self.stream.write(&self.unsent)
        {
            self.unsent.drain(..written);
        }
    }

    /// Reads what is there; a whole response is judged at once, where it lies.
    ///
    /// After a whole response nothing more is read: what comes later wakes us again.
    pub(super) fn receive<V>(
        &mut self,
        buffer: &mut [u8],
        judge: impl FnOnce(u16, &[u8]) -> V,
    ) -> anyhow::Result<Response<V>> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => {
                    return Ok(Response::Closed {
                        was_waiting: self.is_waiting,
                    });
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Response::Incomplete);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    return Ok(Response::Closed {
                        was_waiting: self.is_waiting,
                    });
                }
            };
            let bytes = if self.partial.is_empty() {
                &buffer[..read]
            } else {
                self.partial.extend_from_slice(&buffer[..read]);
                &self.partial
            };
            if let Some((status, body)) = parse(bytes)? {
                let verdict = judge(status, body);
                self.partial.clear();
                self.is_waiting = false;
                return Ok(Response::Whole(status, verdict));
            }
            if self.partial.is_empty() {
                self.partial.extend_from_slice(&buffer[..read]);
            }
        }
    }
}

/// The status and the body, when all of the response is there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(u16, &[u8])>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let httparse::Status::Complete(head) =
        parser.parse_response_with_uninit_headers(&mut response, bytes, &mut fields)?
    else {
        return Ok(None);
    };
    let status = response.code.context("a response without a status")?;
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(length) => std::str::from_utf8(length.value)?.trim().parse::<usize>()?,
        None if matches!(status, 204 | 304) => 0,
        None => bail!("a response of {status} without a length"),
    };
    Ok(bytes.get(head..head + length).map(|body| (status, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";

    #[test]
    fn a_whole_response_is_its_status_and_body() {
        assert_eq!(parse(RESPONSE).unwrap(), Some((201, &b"hello"[..])));
    }

    #[test]
    fn part_of_a_response_is_none() {
        for length in 0..RESPONSE.len() {
            assert_eq!(parse(&RESPONSE[..length]).unwrap(), None, "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
