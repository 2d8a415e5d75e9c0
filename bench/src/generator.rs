//! The load generator: one thread, one epoll, many connections of HTTP/1.1 that are kept alive.
//!
//! It shares the machine with what it measures, so it must cost little: a request is one `write` of bytes that are made
//! beforehand where they can be, a response one `read` into a buffer that all connections share, and no request allocates.
//!
//! A round is what is counted: one request, or the three of a checkout. In a closed loop every connection begins its next
//! round when its last has ended. In an open loop rounds begin at fixed times, whatever the answers do, and their latency
//! counts from the time they were meant to begin at: a server that stalls is charged for all who had to wait.
//!
//! - `script`: what to send and what to make of the answer; `schedule`: when rounds begin
//! - `connection`: a socket and what is half read or half written; `measured`: what was seen

mod connection;
mod measured;
mod schedule;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::{Events, Interest, Poll, Token};

use self::connection::{Connection, Response};
pub(crate) use self::measured::Measured;
use self::schedule::Schedule;

/// How long answers are waited for when no more rounds begin.
const DRAIN_WAIT: Duration = Duration::from_secs(15);
/// The longest sleep, so that the end is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Readiness events that are taken at once.
const EVENTS_MAX: usize = 1024;
/// More than any response to what is asked here.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// When rounds begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// On each connection when its last round has ended.
    Closed,
    /// So many a second.
    Open(f64),
}

/// How much is asked, of whom, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Rounds that begin before this count for nothing but the audit.
    pub(crate) warm_up: Duration,
    /// How long rounds are counted.
    pub(crate) duration: Duration,
    /// No more rounds than this.
    pub(crate) rounds_max: u64,
}

impl Load {
    /// A closed loop, warmed up for a second.
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

    /// An open loop, warmed up for a second.
    pub(crate) fn open(
        address: SocketAddr,
        connections: usize,
        a_second: f64,
        duration: Duration,
    ) -> Self {
        Self {
            pace: Pace::Open(a_second),
            ..Self::closed(address, connections, duration)
        }
    }

    /// Just so many rounds, as fast as they are answered.
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

/// What becomes of a round with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has ended, with what it asked for.
    Done,
    /// It goes on with its next request.
    Next,
    /// It has ended otherwise.
    Failed,
}

/// What to send, and what to make of the answer.
pub(crate) trait Script: Send + 'static {
    /// Appends the next request of a connection's round.
    fn request(&mut self, connection: usize, request: &mut Vec<u8>);

    /// Judges the response to it. After [`Verdict::Failed`] and [`Verdict::Done`] the connection begins anew.
    fn response(&mut self, connection: usize, status: u16, body: &[u8]) -> Verdict;
}

/// Drives a load on a thread of its own.
///
/// # Errors
/// When a connection can't be opened, or an answer is no HTTP.
pub(crate) async fn drive<S: Script>(load: Load, script: S) -> anyhow::Result<(Measured, S)> {
    let thread = tokio::task::spawn_blocking(move || {
        let mut generator = Generator::open(load, script)?;
        generator.run()?;
        Ok((generator.measured, generator.script))
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
    measured: Measured,
    /// The request that is being made; its room is used again.
    request: Vec<u8>,
    /// Where all connections read into.
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
            measured: Measured::new()?,
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
        self.measured.begin();
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
        self.measured.end(&mut self.schedule, unanswered as u64);
        Ok(())
    }

    /// Begins what is to begin now on the connections that are free.
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
                self.measured.responded(status);
                if verdict == Verdict::Next {
                    self.send(number)
                } else {
                    self.ended(number, verdict)
                }
            }
            Response::Closed { was_waiting } => {
                self.reopen(number)?;
                if was_waiting {
                    self.ended(number, Verdict::Failed)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// A round has ended: the next begins at once when its time has come.
    fn ended(&mut self, number: usize, verdict: Verdict) -> anyhow::Result<()> {
        let now = Instant::now();
        let began = self.connections[number].round_began;
        self.measured.round(&self.schedule, verdict, began, now);
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
        self.measured.reopened += 1;
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
