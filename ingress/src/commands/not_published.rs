//! Why a command is not known to be in the log.

/// The client may retry. With an idempotency key a retry is safe: when the last attempt to publish got no
/// acknowledgement, the command may still be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// NATS did not acknowledge the command in time.
    #[error("the command log does not respond")]
    Unavailable,
    /// The log has reached `LOG_MAX_MB`.
    #[error("the command log is full")]
    LogFull,
    /// Too many commands are waiting in this ingress.
    #[error("too many commands are waiting")]
    QueueFull,
}
