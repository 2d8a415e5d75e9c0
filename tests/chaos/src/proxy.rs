//! A TCP proxy between one process and one server, which can fail as networks do.
//!
//! It connects to its target only when it is connected to, so a server that was started again on its port is found. It
//! never changes a byte: what it does is cut, refuse, delay, and close one direction only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 16 * 1024;
/// Between two attempts to accept, when the machine is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One way through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the process to the server.
    ToServer,
    /// From the server to the process.
    ToProcess,
}

/// What happens to every open connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    None,
    Cut,
    HalfClose(Direction),
}

#[derive(Debug)]
struct Control {
    strike: watch::Sender<Strike>,
    refuses: AtomicBool,
    delay_ms: AtomicU64,
}

/// A running proxy. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of the OS's choice.
    ///
    /// # Errors
    /// When there is no port left.
    pub async fn start(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let control = Arc::new(Control {
            strike: watch::Sender::new(Strike::None),
            refuses: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&control)));
        Ok(Self {
            address,
            control,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection; new ones are turned away until [`Proxy::heal`].
    pub fn cut(&self) {
        self.control.refuses.store(true, Ordering::Relaxed);
        self.control.strike.send_replace(Strike::Cut);
    }

    /// Closes one direction of every connection, as a peer that has said its last word; the other stays open.
    pub fn half_close(&self, direction: Direction) {
        self.control
            .strike
            .send_replace(Strike::HalfClose(direction));
    }

    /// Holds back every chunk, in both directions, for that long.
    pub fn delay(&self, delay: Duration) {
        self.control.delay_ms.store(
            u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Takes new connections again, and passes everything on at once.
    pub fn heal(&self) {
        self.control.refuses.store(false, Ordering::Relaxed);
        self.control.delay_ms.store(0, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.control.strike.send_replace(Strike::Cut);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, control: Arc<Control>) {
    loop {
        let Ok((process, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !control.refuses.load(Ordering::Relaxed) {
            // Before the server is asked: a cut in between counts.
            let strikes = control.strike.subscribe();
            tokio::spawn(connect(process, target, strikes, Arc::clone(&control)));
        }
    }
}

/// One connection's life. An error is how connections end: both ends see it closed.
async fn connect(
    process: TcpStream,
    target: SocketAddr,
    strikes: watch::Receiver<Strike>,
    control: Arc<Control>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    process.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_process, to_process) = process.into_split();
    let (from_server, to_server) = server.into_split();
    let out = pump(
        from_process,
        to_server,
        Direction::ToServer,
        strikes.clone(),
        &control,
    );
    let back = pump(
        from_server,
        to_process,
        Direction::ToProcess,
        strikes,
        &control,
    );
    tokio::try_join!(out, back).map(|_| ())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut strikes: watch::Receiver<Strike>,
    control: &Control,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            strike = struck(&mut strikes, direction) => strike?,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let delay = control.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay)) => {}
                strike = struck(&mut strikes, direction) => {
                    strike?;
                    return to.shutdown().await;
                }
            }
        }
        to.write_all(&chunk[..read]).await?;
    }
}

/// Waits for a strike that concerns this direction: an error for a cut, as good as an end of the stream for a half close.
async fn struck(
    strikes: &mut watch::Receiver<Strike>,
    direction: Direction,
) -> std::io::Result<usize> {
    loop {
        // The sender lies in the control block that every connection shares.
        strikes.changed().await.map_err(std::io::Error::other)?;
        match *strikes.borrow_and_update() {
            Strike::Cut => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Strike::HalfClose(struck) if struck == direction => return Ok(0),
            Strike::HalfClose(_) | Strike::None => {}
        }
    }
}
