//! A client of HTTP/1.1 that costs little: one connection, one request at a time, no allocation for the response.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any response of Holdfast to what is asked here.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
}

/// A response; its body is the connection's until the next request.
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), response: vec![0; RESPONSE_BYTES_MAX] })
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Response<'_>> {
        self.send("GET", path, "", b"").await
    }

    /// `headers` are whole lines.
    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> anyhow::Result<Response<'_>> {
        self.send("POST", path, headers, body).await
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> anyhow::Result<Response<'_>> {
        use std::io::Write;
        self.request.clear();
        let length = body.len();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
        )?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await?;
        self.receive().await
    }

    async fn receive(&mut self) -> anyhow::Result<Response<'_>> {
        let mut filled = 0;
        loop {
            ensure!(filled < self.response.len(), "a response is too long");
            let read = self.stream.read(&mut self.response[filled..]).await?;
            ensure!(read > 0, "the connection was closed");
            filled += read;
            let Some(head) = self.response[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let (status, length) = read_head(std::str::from_utf8(&self.response[..head])?)?;
            let body = head + 4..head + 4 + length;
            if filled >= body.end {
                return Ok(Response { status, body: &self.response[body] });
            }
        }
    }
}

fn read_head(head: &str) -> anyhow::Result<(u16, usize)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok((status, value.trim().parse()?));
        }
    }
    bail!("a response without a length")
}
