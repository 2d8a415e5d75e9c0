//! A connection of the generator, with one request at a time.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

/// More than the header fields of any response.
const FIELDS_MAX: usize = 32;
/// Connections that are opened at once. More would overflow the server's queue of connections to accept.
const UNANSWERED_MAX: usize = 256;
/// The first request of each connection.
const GREETING: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n";

/// The result of a read.
pub(super) enum Response<V> {
    Incomplete,
    /// The status, and the script's verdict.
    Whole(u16, V),
    /// The server has closed the connection.
    Closed {
        was_waiting: bool,
    },
}

pub(super) struct Connection {
    stream: TcpStream,
    /// The due time of its round.
    pub(super) round_began: Instant,
    is_waiting: bool,
    /// Bytes of the request that are not written yet.
    unsent: Vec<u8>,
    /// The start of a response that arrives in pieces.
    partial: Vec<u8>,
}

/// Opens the connections and registers them with the poll. Each sends a first request and receives its response, so
/// that the server has accepted it and keeps it alive, like the connection of a buyer who reads a page.
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
            read_response(&mut stream)?;
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

fn read_response(stream: &mut std::net::TcpStream) -> anyhow::Result<()> {
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while parse(&response)?.is_none() {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server closed a new connection");
        response.extend_from_slice(&buffer[..read]);
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

    /// Sends a request; returns false when the connection is closed.
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

    /// Sends the bytes that are not written yet. Errors are ignored: `receive` finds a closed connection.
    pub(super) fn flush(&mut self) {
        if !self.unsent.is_empty()
            && let Ok(written) = self.stream.write(&self.unsent)
        {
            self.unsent.drain(..written);
        }
    }

    /// Reads the available bytes; a whole response is judged in the buffer, without a copy.
    ///
    /// It stops after a whole response. Later bytes raise a new event.
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

/// The status and the body of a complete response; `None` for a part of a response.
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
        None => bail!("a response {status} without a content-length"),
    };
    Ok(bytes.get(head..head + length).map(|body| (status, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";

    #[test]
    fn whole_response_gives_status_and_body() {
        assert_eq!(parse(RESPONSE).unwrap(), Some((201, &b"hello"[..])));
    }

    #[test]
    fn partial_response_is_none() {
        for length in 0..RESPONSE.len() {
            assert_eq!(parse(&RESPONSE[..length]).unwrap(), None, "{length} bytes");
        }
    }

    #[test]
    fn bytes_that_are_not_http_are_an_error() {
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
