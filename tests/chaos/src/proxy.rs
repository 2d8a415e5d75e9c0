//! A TCP proxy between one process and one server, which can fail like a network.
//!
//! It connects to the server for each new connection, so it works after a restart of the server on the same port. It can
//! cut, refuse and delay connections, and close one direction. It never changes the data.

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
/// The pause after a failed accept: the machine has no free sockets, and no event tells when it has.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the process to the server.
    ToServer,
    /// From the server to the process.
    ToProcess,
}

/// A fault of all open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionFault {
    None,
    Cut,
    HalfClose(Direction),
}

#[derive(Debug)]
struct Control {
    strike: watch::Sender<ConnectionFault>,
    refuses: AtomicBool,
    delay_ms: AtomicU64,
}

/// A running proxy. Dropping it closes it and its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let control = Arc::new(Control {
            strike: watch::Sender::new(ConnectionFault::None),
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

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and refuses new ones until [`Proxy::heal`].
    pub fn cut(&self) {
        self.control.refuses.store(true, Ordering::Relaxed);
        self.control.strike.send_replace(ConnectionFault::Cut);
    }

    /// Closes one direction of every connection; the other direction stays open.
    pub fn half_close(&self, direction: Direction) {
        self.control
            .strike
            .send_replace(ConnectionFault::HalfClose(direction));
    }

    /// Delays all data in both directions by this time.
    pub fn delay(&self, delay: Duration) {
        self.control.delay_ms.store(
            u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Accepts new connections again, and ends the delay.
    pub fn heal(&self) {
        self.control.refuses.store(false, Ordering::Relaxed);
        self.control.delay_ms.store(0, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.control.strike.send_replace(ConnectionFault::Cut);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, control: Arc<Control>) {
    loop {
        let Ok((process, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !control.refuses.load(Ordering::Relaxed) {
            // Subscribed before the connection to the server, so that a cut in between is not missed.
            let faults = control.strike.subscribe();
            tokio::spawn(connect(process, target, faults, Arc::clone(&control)));
        }
    }
}

/// Serves one connection. An error closes it on both sides.
async fn connect(
    process: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<ConnectionFault>,
    control: Arc<Control>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    process.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_process, to_process) = process.into_split();
    let (from_server, to_server) = server.into_split();
    let out = copy(
        from_process,
        to_server,
        Direction::ToServer,
        faults.clone(),
        &control,
    );
    let back = copy(
        from_server,
        to_process,
        Direction::ToProcess,
        faults,
        &control,
    );
    tokio::try_join!(out, back).map(|_| ())
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut faults: watch::Receiver<ConnectionFault>,
    control: &Control,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            fault = next_fault(&mut faults, direction) => fault?,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let delay = control.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay)) => {}
                fault = next_fault(&mut faults, direction) => {
                    fault?;
                    return to.shutdown().await;
                }
            }
        }
        to.write_all(&chunk[..read]).await?;
    }
}

/// Waits for a fault of this direction. A cut is an error; a half close reads as the end of the stream.
async fn next_fault(
    faults: &mut watch::Receiver<ConnectionFault>,
    direction: Direction,
) -> std::io::Result<usize> {
    loop {
        // The sender is in the `Control` that every connection shares, so it is never dropped here.
        faults.changed().await.map_err(std::io::Error::other)?;
        match *faults.borrow_and_update() {
            ConnectionFault::Cut => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            ConnectionFault::HalfClose(closed) if closed == direction => return Ok(0),
            ConnectionFault::HalfClose(_) | ConnectionFault::None => {}
        }
    }
}
