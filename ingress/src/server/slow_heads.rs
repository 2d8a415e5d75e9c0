//! Ends a connection whose client does not finish a request's head.
//!
//! The first head of a connection is awaited from its beginning, each later one from its first byte: between two requests
//! a connection may be idle, for as long as the server allows that. Nothing is timed, and nothing allocated, while heads
//! arrive whole.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

const HEAD: u8 = 0;
const ANSWERING: u8 = 1;
const IDLE: u8 = 2;

/// What a connection is at: told by whoever answers its requests. Its atomic orders nothing, as one task has all of it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// A head is there.
    pub fn head_came(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// Its request is answered.
    pub fn answered(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A stream whose reads fail when a head takes too long.
#[derive(Debug)]
pub struct TimedHeads<S> {
    stream: S,
    progress: Progress,
    wait: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedHeads<S> {
    /// A stream with so long for each head.
    pub fn new(stream: S, progress: Progress, wait: Duration) -> Self {
        Self {
            stream,
            progress,
            wait,
            deadline: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.progress.is(HEAD) {
            this.deadline = None;
        }
        let filled = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            if buffer.filled().len() > filled && this.progress.is(IDLE) {
                this.progress.0.store(HEAD, Ordering::Relaxed);
            }
            return Poll::Ready(read);
        }
        if this.progress.is(HEAD) {
            let wait = this.wait;
            ready!(
                this.deadline
                    .get_or_insert_with(|| Box::pin(sleep(wait)))
                    .as_mut()
                    .poll(cx)
            );
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedHeads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
