//! Waits for a condition. Tests do not wait for a fixed time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A test fails when a condition is not met within this time. It is many times longer than needed, for slow machines.
pub const DEADLINE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// Polls until there is a value. `condition` completes the sentence "waited for ..." of the panic.
///
/// # Panics
/// When there is no value by the deadline.
pub async fn until<T>(condition: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(
            Instant::now() < give_up,
            "waited {DEADLINE:?} for {condition}"
        );
        sleep(POLL).await;
    }
}
