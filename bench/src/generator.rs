//! The load generator: one thread, one epoll, many connections of HTTP/1.1 that are kept alive.
//!
//! The generator shares the machine with the measured programs, so it must cost little CPU. A request is one `write` of
//! bytes that are built in advance where possible. A response is one `read` into a buffer that all connections share. No
//! request allocates.
//!
//! The unit of measurement is a round: one request, or the three requests of a checkout. In a closed loop each connection
//! starts its next round when its last round has ended. In an open loop rounds are due at fixed times, independent of the
//! responses. Their latency counts from the due time, so a stall of the server shows in all rounds that had to wait.
//!
//! - [`Script`]: builds requests and judges responses; `schedule`: the times at which rounds start
//! - `connection`: a socket with its partly read or written bytes; `load_result`: the counts and latencies

mod connection;
mod load_result;
mod schedule;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::{Events, Interest, Poll, Token};

use self::connection::{Connection, Response};
pub(crate) use self::load_result::LoadResult;
use self::schedule::Schedule;

/// How long the generator waits for outstanding responses after the last round has started.
const DRAIN_WAIT: Duration = Duration::from_secs(15);
/// The longest wait for events. It bounds how late the generator notices the end of the load.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Readiness events per poll.
const EVENTS_MAX: usize = 1024;
/// Longer than any response to these requests.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The rule that starts rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection starts a round when its last round has ended.
    Closed,
    /// This number of rounds per second.
    Open(f64),
}

/// The load on one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Rounds that start within this time count for the audit only.
    pub(crate) warm_up: Duration,
    /// The measured time after the warm-up.
    pub(crate) duration: Duration,
    pub(crate) rounds_max: u64,
}

impl Load {
    /// A closed loop with one second of warm-up.
    pub(crate) fn closed(address: SocketAddr, connections: usize, duration: Duration) -> Self {
        let warm_up = Duration::from_secs(1);
        Self {
            address,
            connections,
            pace: Pace::Closed,
            warm_up,
            duration,
            rounds_max: u64::MAX,
        }
    }

    /// An open loop with one second of warm-up.
    pub(crate) fn open(
        address: SocketAddr,
        connections: usize,
        per_second: f64,
        duration: Duration,
    ) -> Self {
        Self {
            pace: Pace::Open(per_second),
            ..Self::closed(address, connections, duration)
        }
    }

    /// A closed loop that ends after this number of rounds, and after a minute at the latest.
    pub(crate) fn rounds(address: SocketAddr, connections: usize, rounds: u64) -> Self {
        let (warm_up, duration) = (Duration::ZERO, Duration::from_secs(60));
        Self {
            address,
            connections,
            pace: Pace::Closed,
            warm_up,
            duration,
            rounds_max: rounds,
        }
    }
}

/// The state of a round after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The round has succeeded.
    Done,
    /// The round continues with its next request.
    Next,
    /// The round has failed.
    Failed,
}

/// Builds requests and judges their responses.
pub(crate) trait Script: Send + 'static {
    /// Appends the next request of a connection's round.
    fn request(&mut self, connection: usize, request: &mut Vec<u8>);

    /// Judges the response. After [`Verdict::Failed`] and [`Verdict::Done`] the connection starts a new round.
    fn response(&mut self, connection: usize, status: u16, body: &[u8]) -> Verdict;
}

/// Runs a load on its own thread.
///
/// # Errors
/// When a connection can't be opened, or a response is not HTTP.
pub(crate) async fn drive<S: Script>(load: Load, script: S) -> anyhow::Result<(LoadResult, S)> {
    let thread = tokio::task::spawn_blocking(move || {
        let mut generator = Generator::open(load, script)?;
        generator.run()?;
        Ok((generator.result, generator.script))
    });
    thread.await?
}

struct Generator<S> {
    load: Load,
    script: S,
    poll: Poll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    schedule: Schedule,
    result: LoadResult,
    /// The buffer in which requests are built.
    request: Vec<u8>,
    /// The buffer into which all connections read.
    response: Vec<u8>,
}

impl<S: Script> Generator<S> {
    fn open(load: Load, script: S) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let connections = connection::open_all(&poll, load.address, load.connections)?;
        Ok(Self {
            idle: (0..connections.len()).collect(),
            connections,
            schedule: Schedule::new(&load),
            result: LoadResult::new()?,
            request: Vec::new(),
            response: vec![0; RESPONSE_BYTES_MAX],
            load,
            script,
            poll,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.schedule.begin(Instant::now());
        self.result.begin();
        loop {
            let now = Instant::now();
            self.begin_rounds(now)?;
            let is_idle = self.idle.len() == self.connections.len();
            if self.schedule.is_over(now) && (is_idle || now > self.schedule.end() + DRAIN_WAIT) {
                break;
            }
            let wait = self.schedule.next_at().map_or(POLL_WAIT, |at| {
                at.saturating_duration_since(now).min(POLL_WAIT)
            });
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let Token(number) = event.token();
                if event.is_writable() {
                    self.connections[number].flush();
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(number)?;
                }
            }
        }
        let unanswered = self.connections.len() - self.idle.len();
        self.result.end(&mut self.schedule, unanswered as u64);
        Ok(())
    }

    /// Starts the rounds that are due on idle connections.
    fn begin_rounds(&mut self, now: Instant) -> anyhow::Result<()> {
        while !self.idle.is_empty()
            && let Some(intended) = self.schedule.next(now)
            && let Some(number) = self.idle.pop_front()
        {
            self.connections[number].round_began = intended;
            self.send(number)?;
        }
        Ok(())
    }

    fn send(&mut self, number: usize) -> anyhow::Result<()> {
        self.request.clear();
        self.script.request(number, &mut self.request);
        if !self.connections[number].send(&self.request) {
            self.reopen(number)?;
            self.connections[number].send(&self.request);
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        match connection.receive(&mut self.response, |status, body| {
            self.script.response(number, status, body)
        })? {
            Response::Incomplete => Ok(()),
            Response::Whole(status, verdict) => {
                self.result.record_response(status);
                if verdict == Verdict::Next {
                    self.send(number)
                } else {
                    self.end_round(number, verdict)
                }
            }
            Response::Closed { was_waiting } => {
                self.reopen(number)?;
                if was_waiting {
                    self.end_round(number, Verdict::Failed)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Records the end of a round, and starts the connection's next round if one is due.
    fn end_round(&mut self, number: usize, verdict: Verdict) -> anyhow::Result<()> {
        let now = Instant::now();
        let began = self.connections[number].round_began;
        self.result
            .record_round(&self.schedule, verdict, began, now);
        match self.schedule.next(now) {
            Some(intended) => {
                self.connections[number].round_began = intended;
                self.send(number)
            }
            None => {
                self.idle.push_back(number);
                Ok(())
            }
        }
    }

    fn reopen(&mut self, number: usize) -> anyhow::Result<()> {
        self.result.reopened += 1;
        let mut connection =
            Connection::open(self.load.address).context("the server closed a connection")?;
        connection.round_began = self.connections[number].round_began;
        self.connections[number] = connection;
        let stream = self.connections[number].stream();
        Ok(self.poll.registry().register(
            stream,
            Token(number),
            Interest::READABLE | Interest::WRITABLE,
        )?)
    }
}
