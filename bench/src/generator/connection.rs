//! A connection of the generator: one request at a time.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

/// Header fields of a response.
const FIELDS_MAX: usize = 32;
/// Connections that are opened before one of them is asked something: a server that accepts in order has then accepted
/// them all, and its queue does not overflow.
const UNACCEPTED_MAX: usize = 256;

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

/// Opens them all, and has them watched.
pub(super) fn open_all(poll: &Poll, address: SocketAddr, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        if number % UNACCEPTED_MAX == UNACCEPTED_MAX - 1 {
            wait_until_accepted(address)?;
        }
        let mut connection = Connection::open(address)?;
        poll.registry().register(&mut connection.stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        connections.push(connection);
    }
    wait_until_accepted(address)?;
    Ok(connections)
}

fn wait_until_accepted(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).context("the server does not answer")
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(address).with_context(|| format!("can't connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        let round_began = Instant::now();
        Ok(Self { stream, round_began, is_waiting: false, unsent: Vec::new(), partial: Vec::new() })
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request, or says that the connection is gone.
    pub(super) fn send(&mut self, request: &[u8]) -> bool {
        self.is_waiting = true;
        match self.stream.write(request) {
            Ok(written) => self.unsent.extend_from_slice(&request[written..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unsent.extend_from_slice(request),
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
                Ok(0) => return Ok(Response::Closed { was_waiting: self.is_waiting }),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Response::Incomplete),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Response::Closed { was_waiting: self.is_waiting }),
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
    let length = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
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
